package fs

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// dump is a directory and all below it, in words, one for each path. What has several names has the same number under each.
func (r *rig) dump(dir NodeID) map[string]string {
	r.Helper()
	all, inos := map[string]string{}, map[uint64]int{}
	r.dumpTo(all, inos, dir, "")
	return all
}

func (r *rig) dumpTo(all map[string]string, inos map[uint64]int, dir NodeID, path string) {
	r.Helper()
	for _, name := range sorted(r.names(dir)) {
		e, err := r.fs.Lookup(dir, name)
		if err != nil {
			r.Fatalf("%s/%s is listed: %v", path, name, err)
		}
		p := path + "/" + name
		if _, known := inos[e.Attr.Ino]; !known {
			inos[e.Attr.Ino] = len(inos)
		}
		all[p] = fmt.Sprint(inos[e.Attr.Ino], " ", r.describe(e))
		if e.Attr.Mode&ModeType == ModeDir {
			r.dumpTo(all, inos, e.Node, p)
		}
		r.fs.Forget(e.Node, 1)
	}
}

// describe is all that there is to know of a file but its name.
func (r *rig) describe(e Entry) string {
	r.Helper()
	a := e.Attr
	var b strings.Builder
	fmt.Fprintf(&b, "%o %d %d:%d %d %d", a.Mode, a.Nlink, a.UID, a.GID, a.Size, a.Mtime)
	names, err := r.fs.ListXattr(e.Node)
	r.must(err)
	for _, name := range strings.FieldsFunc(string(names), func(c rune) bool { return c == 0 }) {
		val, err := r.fs.GetXattr(e.Node, name)
		r.must(err)
		fmt.Fprintf(&b, " %s=%x", name, val)
	}
	switch a.Mode & ModeType {
	case ModeSymlink:
		target, err := r.fs.Readlink(e.Node)
		r.must(err)
		fmt.Fprintf(&b, " -> %s", target)
	case ModeRegular:
		r.must(r.fs.Open(e.Node, false, false))
		defer r.fs.Release(e.Node, false)
		fmt.Fprintf(&b, " %x", sha256.Sum256(r.bytesOf(e.Node)))
	}
	return b.String()
}

// sameDump fails unless two dumps are equal.
func (r *rig) sameDump(what string, got, want map[string]string) {
	if maps.Equal(got, want) {
		return
	}
	r.Helper()
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if got[p] != want[p] {
			r.Fatalf("%s: %s is\n%q, was\n%q", what, p, got[p], want[p])
		}
	}
	for p := range got {
		if _, ok := want[p]; !ok {
			r.Fatalf("%s: %s was not there", what, p)
		}
	}
}

// nameOf is a name in a .at for a moment.
func nameOf(m eventlog.Moment) string { return m.When().UTC().Format(time.RFC3339Nano) }

// at looks up what dir was at a time.
func (r *rig) at(dir NodeID, name string) (NodeID, error) {
	r.Helper()
	at, err := r.lookup(dir, atName)
	r.must(err)
	defer r.fs.Forget(at, 1)
	return r.lookup(at, name)
}

// A moment is what a test saw of a directory.
type moment struct {
	at  eventlog.Moment
	saw map[string]string
}

// remembers checks that dir shows each moment, but for some that are left out, as it was seen, and that nothing is left in memory of
// looking at it.
func (r *rig) remembers(dir NodeID, seen []moment, every int) {
	r.Helper()
	for i := 0; i < len(seen); i += every {
		m := seen[i]
		then, err := r.at(dir, nameOf(m.at))
		r.must(err)
		r.sameDump(nameOf(m.at), r.dump(then), m.saw)
		r.fs.Forget(then, 1)
	}
	if p := r.fs.past; len(p.nodes)+len(p.moved)+len(p.views) != 0 {
		r.Fatalf("%d nodes and %d views of the past are left", len(p.nodes), len(p.views))
	}
}

// Whatever happens, .at shows each moment as it was: names, bytes, modes, attributes, links and times.
func TestPastAgreesWithWhatWasSeen(t *testing.T) {
	for _, seed := range seeds(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := &modelRun{rig: newRig(t), rng: rand.New(rand.NewPCG(seed, 6)), root: &modelFile{dir: map[string]*modelFile{}}}
			var seen []moment
			for range 150 {
				m.step()
				if now := m.volume().log.Now(); len(seen) == 0 || seen[len(seen)-1].at != now {
					seen = append(seen, moment{now, m.dump(m.vol)})
				}
			}
			m.clock.forward(time.Second)
			m.remembers(m.vol, seen, 5)
			m.seal()
			m.commit()
			m.collect()
			m.reopen()
			m.remembers(m.vol, seen, 1)
		})
	}
}

// A file that stays open and busy has quiet versions, of which later ones drop the earlier. The past shows in their place what the file was
// next and is there still.
func TestPastOfDroppedVersions(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "db")
	log := r.volume().log
	var at []eventlog.Moment
	write := func(data string) {
		t.Helper()
		zero := int64(0)
		_, err := r.fs.SetAttr(n, Changes{Size: &zero}, true)
		r.must(err)
		r.write(n, 0, []byte(data))
		r.quiet(10 * time.Minute)
		r.seal()
		at = append(at, log.Now())
	}
	then := func(i int, want string) {
		t.Helper()
		r.clock.forward(time.Second)
		dir, err := r.at(r.vol, nameOf(at[i]))
		r.must(err)
		r.expect(dir, "db", []byte(want))
		if size := r.stat(dir, "db").Size; size != int64(len(want)) {
			t.Fatalf("moment %d: %d bytes", i, size)
		}
		r.fs.Forget(dir, 1)
	}
	write("first")
	then(0, "first")
	write("the second")
	write("the third one")
	then(0, "the third one")
	then(1, "the third one")
	r.must(r.fs.Flush(n)) // now it stays
	write("a fourth")
	write("five")
	then(0, "the third one")
	then(2, "the third one")
	then(3, "five")
	r.done(n)
	r.must(r.fs.Unlink(r.vol, "db"))
	then(3, "five")
	r.reopen()
	then(3, "five")
	then(1, "the third one")
}

// What a lookup found may be dropped before the file is opened: then the path must be looked up anew.
func TestPastGoesStale(t *testing.T) {
	r := newRig(t)
	n := r.create(r.vol, "db")
	r.write(n, 0, []byte("first"))
	r.quiet(time.Minute)
	r.seal()
	r.clock.forward(time.Second)
	dir, err := r.at(r.vol, nameOf(r.volume().log.Now()))
	r.must(err)
	old, err := r.lookup(dir, "db")
	r.must(err)
	r.must(r.fs.Open(old, false, false))
	r.same("as it is open", r.bytesOf(old), []byte("first"))
	r.write(n, 0, []byte("second"))
	r.quiet(time.Minute)
	r.same("still open", r.bytesOf(old), []byte("first"))
	r.fs.Release(old, false)
	r.wants(r.fs.Open(old, false, false), ErrStale)
	r.expect(dir, "db", []byte("second"))
	again, err := r.lookup(dir, "db")
	r.must(err)
	if again == old {
		t.Fatal("one node shows two contents")
	}
	r.fs.Forget(again, 1)
	r.fs.Forget(old, 1)
	r.fs.Forget(dir, 1)
	r.done(n)
	if p := r.fs.past; len(p.nodes)+len(p.moved)+len(p.views) != 0 {
		t.Fatal("nodes are left")
	}
}

// Of what retention has given up the past shows what came next and is kept, and says so if nothing is. A view of a time that history
// has no longer is resolved anew.
func TestPastOfWhatWasGivenUp(t *testing.T) {
	r := newRig(t)
	r.clock.forward(r.clock.now().Truncate(time.Hour).Add(time.Hour + 10*time.Second).Sub(r.clock.now()))
	first, second := pattern(100_000, 1), pattern(100_007, 2)
	r.put(r.vol, "a", first)
	r.put(r.vol, "b", first[1:])
	when := r.now()
	r.put(r.vol, "a", second)
	r.must(r.fs.Unlink(r.vol, "b"))
	r.clock.forward(2 * time.Minute)
	r.put(r.vol, "a", []byte("third"))
	r.seal()
	r.commit()
	then := r.then(r.vol, when)
	early, err := r.lookup(then, "a")
	r.must(err)
	retire := func() {
		t.Helper()
		_, err := r.fs.Retire(time.Time{}, false, noPause)
		r.must(err)
		r.collect()
	}
	r.clock.forward(2 * time.Hour)
	retire()
	r.wants(r.fs.Open(early, false, false), ErrStale)
	r.expect(then, "a", second)
	if size := r.stat(then, "a").Size; size != int64(len(second)) {
		t.Fatalf("%d bytes", size)
	}
	if names := sorted(r.names(then)); !slices.Equal(names, []string{"a", "b"}) {
		t.Fatalf("%v", names)
	}
	_, err = r.tryGet(then, "b")
	r.wants(err, errExpired)
	if bad := r.fs.Damaged(); len(bad) > 0 {
		t.Fatalf("damage: %v", bad)
	}

	r.clock.forward(1000 * 24 * time.Hour)
	retire()
	_, err = r.lookup(then, "a")
	r.wants(err, ErrStale)
	later, err := r.at(r.vol, when) // that week's first moment
	if err == nil {
		r.missing(later, "a")
	} else {
		r.wants(err, ErrNotExist)
	}
}
