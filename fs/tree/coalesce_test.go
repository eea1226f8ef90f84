package tree

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// fold applies events and returns the state.
func (m mem) fold(device byte, es []eventlog.Event) mem {
	m = m.clone()
	for _, e := range es {
		New().Apply(m, author(device), e)
	}
	return m
}

// Coalesced events leave the same state, on the state on which they were made and on others.
func TestCoalesce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{state: mem{}}
		w.round(t, 2, 12)
		d := &device{n: 1, state: w.state.clone(), src: &w.src}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			d.step(t)
		}
		from := rapid.IntRange(0, len(d.made)).Draw(t, "from")
		before, window := d.made[:from], d.made[from:]
		merged := New().Coalesce(window)
		if len(merged) > len(window) {
			t.Fatalf("%d events became %d", len(window), len(merged))
		}
		on := func(what string, state mem) {
			state = state.fold(1, before)
			a, b := state.fold(1, window), state.fold(1, merged)
			if diff := a.diff(b); diff != "" {
				t.Fatalf("%s: %d events became %d:%s\n%s\nbecame\n%s", what, len(window), len(merged), diff, list(window), list(merged))
			}
		}
		on("where they were made", w.state)
		w.round(t, 2, 8)
		on("after a rebase", w.state)
		on("on nothing", mem{})
		for _, e := range merged {
			if _, err := Decode(e.Body); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A store is copied while it holds events that are in no frame. Each of both frames them by itself, with what it did since:
// nothing that a close ended is lost, in whatever order the frames come.
func TestCoalesceInACopy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{state: mem{}}
		w.round(t, 1, 6)
		first := &device{n: 1, state: w.state.clone(), src: &w.src}
		for range rapid.IntRange(0, 3).Draw(t, "steps before") {
			first.step(t)
		}
		made := first.newFile(t, RootID, []byte("made before"), File)
		first.do(made)
		second := &device{n: 1, state: first.state.clone(), src: &w.src, made: slices.Clone(first.made)}
		var frames [2][][]eventlog.Event
		for k, d := range []*device{first, second} {
			if rapid.Bool().Draw(t, "written after") {
				d.edit(t, made.ID, rapid.Bool().Draw(t, "quiet"))
			}
			for range rapid.IntRange(0, 3).Draw(t, "steps after") {
				d.step(t)
			}
			at := rapid.IntRange(0, len(d.made)).Draw(t, "cut")
			frames[k] = [][]eventlog.Event{New().Coalesce(d.made[:at]), New().Coalesce(d.made[at:])}
			for _, e := range d.made {
				w.note(e)
			}
		}
		for len(frames[0])+len(frames[1]) > 0 {
			k := rapid.IntRange(0, 1).Draw(t, "next")
			if len(frames[k]) == 0 {
				k = 1 - k
			}
			w.state = w.state.fold(1, frames[k][0])
			frames[k] = frames[k][1:]
		}
		if err := Check(w.state); err != nil {
			t.Fatal(err)
		}
		if id, why := w.lost(); why != "" {
			t.Fatalf("version %v is %s\none\n%s\nthe other\n%s", id, why, list(first.made), list(second.made))
		}
	})
}

func list(es []eventlog.Event) (s string) {
	for _, e := range es {
		ops, _ := Decode(e.Body)
		s += fmt.Sprintf(" %d ops:", len(ops))
		for _, op := range ops {
			s += fmt.Sprintf(" %T", op)
			op.visit(func(id FileID) { s += fmt.Sprintf(" %x", id[1:3]) })
		}
		s += "\n"
	}
	return s
}

// tar makes one event of each file and each directory.
func TestCoalesceTar(t *testing.T) {
	src := source{}
	d := &device{n: 1, state: mem{}, src: &src}
	mk := func(dir FileID, name string, kind Kind) FileID {
		now := src.now()
		c := Create{
			ID: src.file(), Parent: dir, Name: []byte(name), Kind: kind, Mode: 0o600, Time: now, Mtime: now, Btime: now,
			Path: d.pathTo(dir),
		}
		d.made = append(d.made, event(c))
		return c.ID
	}
	var dirs []FileID
	top := mk(RootID, "src", Dir)
	dirs = append(dirs, top)
	files := 0
	for k := range 50 {
		in := dirs[k/3]
		dir := mk(in, fmt.Sprintf("dir%d", k), Dir)
		dirs = append(dirs, dir)
		for f := range 4 {
			files++
			id := mk(dir, fmt.Sprintf("f%d", f), File)
			v := inline(src.versions+1, 9)
			src.versions++
			d.made = append(d.made,
				event(SetContent{ID: id, Version: v, Mtime: src.now(), Time: src.now()}),
				event(SetAttr{ID: id, Set: FieldMtime, Mtime: 1}),
				event(SetAttr{ID: id, Set: FieldUID | FieldGID, UID: 1, GID: 1}),
				event(SetAttr{ID: id, Set: FieldMode, Mode: 0o644}))
		}
	}
	for k := len(dirs) - 1; k >= 0; k-- {
		d.made = append(d.made,
			event(SetAttr{ID: dirs[k], Set: FieldMtime, Mtime: 1}),
			event(SetAttr{ID: dirs[k], Set: FieldUID | FieldGID, UID: 1, GID: 1}),
			event(SetAttr{ID: dirs[k], Set: FieldMode, Mode: 0o755}))
	}
	merged := New().Coalesce(d.made)
	if want := files + len(dirs); len(merged) != want {
		t.Errorf("%d events of %d files and directories", len(merged), want)
	}
	a, b := mem{}.fold(1, d.made), mem{}.fold(1, merged)
	if diff := a.diff(b); diff != "" {
		t.Errorf("state differs:%s", diff)
	}
	if err := Check(b); err != nil {
		t.Error(err)
	}
}
