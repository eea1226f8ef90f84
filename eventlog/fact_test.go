package eventlog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rhizome-fs/rhizome/identity"
)

// Every fact names the device whose event ended it: each device writes registers of its own, which come in any order, tentative or committed,
// while others are done again, through restarts.
func TestFactsNameDevices(t *testing.T) {
	n := [3]int{}
	for seed := range max(20, *seeds) {
		v := newVolume(t, 3)
		rng := rand.New(rand.NewPCG(seed, 5))
		r := openReplica(t, vfs.NewMem(), v, 0, nil)
		others := []*replica{nil, memReplica(t, v, 1, nil), memReplica(t, v, 2, nil)}
		var frames, uncommitted []*Frame
		index := Index(0)
		set := func(dev int) Event { return event(opMix, byte(3*rng.IntN(4)+dev), byte(rng.IntN(256))) }
		for range 60 {
			switch dev := 1 + rng.IntN(2); rng.IntN(6) {
			case 0, 1:
				r.append(t, set(0))
			case 2:
				others[dev].append(t, set(dev), set(dev))
				if len(frames) > 0 && rng.IntN(2) == 0 {
					others[dev].receive(t, frames[rng.IntN(len(frames))])
				}
				f := others[dev].cut(t)
				frames, uncommitted = append(frames, f), append(uncommitted, f)
			case 3:
				if len(frames) > 0 {
					r.receive(t, frames[rng.IntN(len(frames))])
				}
			case 4:
				if f := r.cut(t); f != nil {
					frames, uncommitted = append(frames, f), append(uncommitted, f)
				}
				if n := len(uncommitted); n > 0 {
					i := rng.IntN(n)
					index++
					r.commit(t, index, uncommitted[i])
					uncommitted = append(uncommitted[:i], uncommitted[i+1:]...)
				}
			case 5:
				if rng.IntN(3) == 0 {
					r = r.reopen(t)
				}
			}
		}
		err := r.FormerBelow(nil, func(key []byte, f Fact) bool {
			dev := int(key[2]) % 3
			if n[dev]++; f.By != v.devices[dev].keyring.Device() {
				t.Errorf("seed %d: a change of register %d by device %d is that of %v", seed, key[2], dev, f.By)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		r.sameFacts(t)
		r.st.Close()
	}
	if min(n[0], n[1], n[2]) < 50 {
		t.Fatalf("%d facts of each device", n)
	}
}

// Where a device's own event is done again on top of another's, the other's has made the difference.
func TestFactOfARebase(t *testing.T) {
	v := newVolume(t, 2)
	a, b := memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)
	a.append(t, event(opMix, 1, 'a'))
	b.append(t, event(opMix, 1, 'b'))
	a.commit(t, 1, b.cut(t))
	var by []identity.DeviceID
	if err := a.Former(registerKey(1), func(f Fact) bool { by = append(by, f.By); return true }); err != nil {
		t.Fatal(err)
	}
	if want := []identity.DeviceID{v.devices[0].keyring.Device(), v.devices[1].keyring.Device()}; fmt.Sprint(by) != fmt.Sprint(want) &&
		fmt.Sprint(by) != fmt.Sprint([]identity.DeviceID{want[1], want[0]}) {
		t.Errorf("the changes are those of %v, want %v", by, want)
	}
}

// Facts that a version wrote which did not note devices are of nobody that is known; what is damaged is no fact.
func TestOldFacts(t *testing.T) {
	own, other := identity.DeviceID{1}, identity.DeviceID{2}
	for _, c := range []struct {
		rec string
		f   Fact
	}{{"", Fact{}}, {"\x01", Fact{Val: []byte{}, Had: true}}, {"\x01abc", Fact{Val: []byte("abc"), Had: true}}} {
		if f, err := parseFact([]byte(c.rec), own); err != nil || fmt.Sprint(f) != fmt.Sprint(c.f) {
			t.Errorf("%q: %v, %v", c.rec, f, err)
		}
	}
	for _, c := range []struct {
		val string
		had bool
		by  *identity.DeviceID
	}{{"", false, nil}, {"", true, nil}, {"abc", true, nil}, {"", false, &other}, {"abc", true, &other}} {
		b := new(pebble.Batch)
		putFact(b, nil, newKeyspace(identity.VolumeID{}), []byte("key"), Moment{1, 2}, []byte(c.val), c.had, c.by)
		r := b.Reader()
		_, _, rec, _, _ := r.Next()
		f, err := parseFact(rec, own)
		by := own
		if c.by != nil {
			by = other
		}
		if err != nil || f.Had != c.had || string(f.Val) != c.val || f.By != by {
			t.Errorf("%v: %v, %v", c, f, err)
		}
		if cut := bytes.Clone(rec); c.by != nil && isFact(cut[:20]) {
			t.Errorf("half a device is one")
		}
	}
	for _, rec := range []string{"\x00abc", "\x08", "\x06", "\x02abc"} {
		if isFact([]byte(rec)) {
			t.Errorf("%q is a fact", rec)
		}
	}
}
