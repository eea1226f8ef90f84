package eventlog

import (
	"bytes"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"
)

// memBase is a state in memory.
type memBase map[string][]byte

func (m memBase) get(key []byte) ([]byte, bool, error) {
	v, ok := m[string(key)]
	return v, ok, nil
}

func (m memBase) scan(prefix, from []byte, fn func(key, val []byte) bool) error {
	for _, k := range sortedKeys(m) {
		if bytes.HasPrefix([]byte(k), prefix) && k >= string(from) && !fn([]byte(k), m[k]) {
			break
		}
	}
	return nil
}

func (m memBase) getAll(keys [][]byte, fn func(i int, val []byte, ok bool)) error {
	for i, key := range keys {
		v, ok := m[string(key)]
		fn(i, v, ok)
	}
	return nil
}

func (m memBase) take(o *overlay) {
	o.changes(func(c *cell) {
		if c.ok {
			m[string(c.key)] = c.val
		} else {
			delete(m, string(c.key))
		}
	})
}

func genEvent() *rapid.Generator[Event] {
	return rapid.Custom(func(t *rapid.T) Event {
		// Few registers, so that units touch; some in other groups, so that some don't.
		key := rapid.SampledFrom([]byte{0, 1, 2, 16, 17, 32, 48, 64, 80, 96})
		return event(rapid.ByteRange(0, opBlock).Draw(t, "op"), key.Draw(t, "key"), key.Draw(t, "other"), rapid.Byte().Draw(t, "v"))
	})
}

func genUnits(t *rapid.T, n int) []*unit {
	us := make([]*unit, n)
	for i := range us {
		es := rapid.SliceOfN(genEvent(), 1, 3).Draw(t, "events")
		us[i] = &unit{
			author: Author{Feed: FeedID{byte(i)}}, local: LocalSeq(i + 1), redo: true,
			load: func() ([]Event, error) { return es, nil },
		}
	}
	return us
}

// fold applies units to nothing.
func fold(t *rapid.T, us []*unit) string {
	o := newOverlay(emptyBase{})
	for _, u := range us {
		c := *u
		if err := c.apply(o, register{}); err != nil {
			t.Fatal(err)
		}
	}
	return dumpOverlay(o)
}

func reorderInto(t *rapid.T, m memBase, old, new []*unit) {
	o := newOverlay(m)
	if err := reorder(o, register{}, old, new); err != nil {
		t.Fatal(err)
	}
	m.take(o)
	for _, u := range new {
		u.redo = false
		u.undo = &undo{images: cloneImages(u.undo.images), reads: u.undo.reads, scans: u.undo.scans}
	}
}

func cloneImages(ims []image) []image {
	out := make([]image, len(ims))
	for i, im := range ims {
		out[i] = image{bytes.Clone(im.key), im.val, im.ok}
	}
	return out
}

// Any new order, with any new units in it, is reached from any old one; and what is kept to undo it does so.
func TestReorderEqualsFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := memBase{}
		var old []*unit
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			fresh := genUnits(t, rapid.IntRange(0, 6).Draw(t, "fresh"))
			next := append(slices.Clone(old), fresh...)
			if rapid.Bool().Draw(t, "shuffle") {
				next = rapid.Permutation(next).Draw(t, "order")
			} else { // as it is usually: the order stays, and something comes between
				for range fresh {
					at := rapid.IntRange(0, len(next)-1).Draw(t, "at")
					last := next[len(next)-1]
					next = slices.Insert(next[:len(next)-1], at, last)
				}
			}
			for _, u := range old {
				u.redo = rapid.IntRange(0, 9).Draw(t, "force") == 0
			}
			reorderInto(t, m, old, next)
			if got, want := dumpOverlay(newOverlay(m)), fold(t, next); got != want {
				t.Fatalf("state\n%swant\n%s", got, want)
			}
			old = next
		}
		for i := len(old) - 1; i >= 0; i-- {
			o := newOverlay(m)
			o.takeBack(old[i].undo)
			m.take(o)
			if got, want := dumpOverlay(newOverlay(m)), fold(t, old[:i]); got != want {
				t.Fatalf("undone down to %d: state\n%swant\n%s", i, got, want)
			}
		}
	})
}

func TestReorderLeavesAloneWhatIsNotTouched(t *testing.T) {
	unitOf := func(e Event) *unit {
		return &unit{redo: true, load: func() ([]Event, error) { return []Event{e}, nil }}
	}
	a, b, c := unitOf(event(opMix, 0)), unitOf(event(opMix, 16)), unitOf(event(opMix, 16, 1))
	m := memBase{}
	o := newOverlay(m)
	if err := reorder(o, register{}, nil, []*unit{a, b, c}); err != nil {
		t.Fatal(err)
	}
	m.take(o)
	for _, u := range []*unit{a, b, c} {
		u.redo = false
	}
	fresh := unitOf(event(opMix, 16, 2))
	if err := reorder(newOverlay(m), register{}, []*unit{a, b, c}, []*unit{b, fresh, c, a}); err != nil {
		t.Fatal(err)
	}
	if a.redo || b.redo || !c.redo {
		t.Errorf("done again: a %v, b %v, c %v; want c only", a.redo, b.redo, c.redo)
	}
}

// The overlay is a map with a base; its Scan is the sorted walk over both.
func TestOverlayAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.ByteRange(0, 3), 0, 3)
		base, model := memBase{}, memBase{}
		for range rapid.IntRange(0, 10).Draw(t, "base") {
			k := key.Draw(t, "key")
			base[string(k)], model[string(k)] = []byte{1}, []byte{1}
		}
		o := newOverlay(base)
		for range rapid.IntRange(0, 60).Draw(t, "ops") {
			k := key.Draw(t, "key")
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				v := []byte{rapid.Byte().Draw(t, "val")}
				o.Set(k, v)
				model[string(k)] = v
			case 1:
				o.Delete(k)
				delete(model, string(k))
			case 2:
				v, ok := o.Get(k)
				if w, there := model[string(k)]; ok != there || !bytes.Equal(v, w) {
					t.Fatalf("Get %x: %x %v, want %x %v", k, v, ok, w, there)
				}
			case 3:
				from := key.Draw(t, "from")
				limit := rapid.IntRange(1, 9).Draw(t, "limit")
				if got, want := scanKeys(o, k, from, limit), scanKeys(newOverlay(model), k, from, limit); !slices.Equal(got, want) {
					t.Fatalf("Scan %x from %x: %x, want %x", k, from, got, want)
				}
			}
		}
	})
}

func scanKeys(o *overlay, prefix, from []byte, limit int) []string {
	var keys []string
	o.Scan(prefix, from, func(k, v []byte) bool {
		keys = append(keys, string(k)+"="+string(v))
		return len(keys) < limit
	})
	if !sort.StringsAreSorted(keys) && len(keys) > 1 {
		return append(keys, "not sorted")
	}
	return keys
}
