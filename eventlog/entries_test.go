package eventlog

import (
	"fmt"
	"slices"
	"testing"
)

// shown returns a short form of the entries behind a position.
func shown(t *testing.T, walk func(Position, func(Entry) bool) error, from Position, most int) (lines []string, ps []Position) {
	t.Helper()
	err := walk(from, func(e Entry) bool {
		lines = append(lines, fmt.Sprintf("%d:%d:%d:%v", e.Position.Stage, e.Seq, e.Event.Body[1], e.Held))
		ps = append(ps, e.Position)
		return len(lines) < most
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines, ps
}

func TestEntriesInShownOrder(t *testing.T) {
	v := newVolume(t, 2)
	a, b := memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)
	b.append(t, event(opMix, 10), event(opMix, 11))
	b1 := b.cut(t)
	b.append(t, event(opMix, 12))
	b2 := b.cut(t)
	a.append(t, event(opMix, 20), event(opMix, 21), event(opMix, 22))
	a1 := a.cut(t)
	a.receive(t, b2, b1)
	a.commit(t, 7, b1, a1)
	a.append(t, event(opMix, 30))
	if _, err := a.Update(func(tx *Tx) error { tx.AppendHeld(event(opMix, 31)); return nil }); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"0:1:10:false", "0:2:11:false", "0:1:20:false", "0:2:21:false", "0:3:22:false",
		"1:3:12:false", "2:0:30:false", "2:0:31:true",
	}
	all, ps := shown(t, a.Entries, Position{}, 100)
	if !slices.Equal(all, want) {
		t.Fatalf("%v, want %v", all, want)
	}
	if !slices.IsSortedFunc(ps, Position.Compare) {
		t.Error("positions are not ascending")
	}
	for i := range ps {
		for most := 1; most < 4; most++ {
			rest := want[i+1:]
			if got, _ := shown(t, a.Entries, ps[i], most); !slices.Equal(got, rest[:min(most, len(rest))]) {
				t.Errorf("%d behind entry %d: %v", most, i, got)
			}
			back := slices.Clone(want[:i])
			slices.Reverse(back)
			if got, _ := shown(t, a.EntriesBefore, ps[i], most); !slices.Equal(got, back[:min(most, len(back))]) {
				t.Errorf("%d before entry %d: %v, want %v", most, i, got, back)
			}
		}
	}
	slices.Reverse(want)
	if got, _ := shown(t, a.EntriesBefore, LastPosition(), 100); !slices.Equal(got, want) {
		t.Errorf("backwards: %v", got)
	}
}

func TestUncommittedIsNeverEarly(t *testing.T) {
	v := newVolume(t, 2)
	a, b := memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)
	for i := range byte(4) {
		a.append(t, event(opMix, i))
		b.receive(t, a.cut(t))
		b.append(t, event(opMix, i))
		a.receive(t, b.cut(t))
	}
	i := Index(0)
	err := a.Uncommitted(func(f *Frame) bool {
		i++
		b.commit(t, i, f)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := b.Stats(); s.CommittedFrames != 8 || s.TentativeFrames != 0 {
		t.Errorf("%+v", s)
	}
}

func TestCommitIsIdempotentByIndex(t *testing.T) {
	v := newVolume(t, 1)
	a := memReplica(t, v, 0, nil)
	a.append(t, event(opMix, 1))
	f := a.cut(t)
	a.commit(t, 3, f)
	_, h := a.Committed()
	a.commit(t, 3, f)
	a.commit(t, 2, f)
	a.commit(t, 4, f) // twice in the order: passed over
	if i, again := a.Committed(); i != 4 || again != h || a.Stats().CommittedFrames != 1 {
		t.Errorf("%d %x %+v", i, again, a.Stats())
	}
}

func TestChangesAreTold(t *testing.T) {
	v := newVolume(t, 2)
	a, b := memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)
	var told [][]byte
	a.OnChange(func(keys [][]byte) {
		told = append(told, keys...)
		a.View(func(Reader) {}) // no lock is held
		a.Stats()
	})
	a.append(t, event(opSet, 1, 'a'))
	a.commit(t, 1, a.cut(t))
	if told != nil {
		t.Errorf("own changes were told: %x", told)
	}
	b.append(t, event(opFirst, 1, 'b'), event(opFirst, 2, 'b'))
	a.receive(t, b.cut(t))
	if len(told) != 1 || string(told[0]) != string(registerKey(2)) {
		t.Errorf("told %x", told)
	}
}
