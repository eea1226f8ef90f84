package tree

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// Whatever devices do apart, and however it is ordered: the tree stays a tree, no closed version is lost, and none vanishes
// from sight but by someone who saw it.
func TestDevicesApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{state: mem{}}
		New().Apply(w.state, author(0), event(Begin{Reducer: Name, Time: 1}))
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			w.round(t, 3, 12)
			if err := Check(w.state); err != nil {
				t.Fatal(err)
			}
		}
		if id, why := w.lost(); why != "" {
			t.Fatalf("version %v is %s", id, why)
		}
	})
}

// Undoing events by the before-images of each is the identity.
func TestUndo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{state: mem{}}
		w.round(t, 2, 10)
		start := w.state.clone()
		d := &device{n: 9, state: start.clone(), src: &w.src}
		for range 10 {
			d.step(t)
		}
		var done []recording
		for _, e := range d.made {
			r := record(w.state)
			New().Apply(r, author(9), e)
			done = append(done, r)
		}
		if diff := w.state.diff(d.state); diff != "" {
			t.Fatalf("not deterministic:%s", diff)
		}
		for k := len(done) - 1; k >= 0; k-- {
			done[k].undo()
		}
		if diff := w.state.diff(start); diff != "" {
			t.Fatalf("undo leaves:%s", diff)
		}
	})
}

// Ops that no honest device makes leave a tree too.
func TestWildOps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := mem{}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			var ops []Op
			for range rapid.IntRange(1, 3).Draw(t, "ops") {
				ops = append(ops, wildOp(t))
			}
			New().Apply(m, author(byte(rapid.IntRange(1, 2).Draw(t, "device"))), event(ops...))
			if err := Check(m); err != nil {
				t.Fatalf("%v after %T %+v", err, ops[0], ops)
			}
		}
	})
}

func wildOp(t *rapid.T) Op {
	file := func() FileID {
		n := rapid.IntRange(0, 7).Draw(t, "file")
		if n == 0 {
			return RootID
		}
		return fid(n)
	}
	version := func() VersionID { return vid(rapid.IntRange(1, 6).Draw(t, "version")) }
	versions := func() []VersionID {
		var vs []VersionID
		for range rapid.IntRange(0, 3).Draw(t, "versions") {
			vs = add(vs, version())
		}
		return vs
	}
	path := func() (p Path) {
		for range rapid.IntRange(0, 4).Draw(t, "path") {
			p = append(p, Step{Dir: file(), Name: name(t)})
		}
		return p
	}
	content := func() Version {
		v := Version{ID: version(), Quiet: rapid.Bool().Draw(t, "quiet")}
		switch rapid.IntRange(0, 4).Draw(t, "form") {
		case 0:
			v.Size, v.Pending = 99, true
		case 1, 2:
			v.Size, v.Inline = 3, []byte("abc")
		case 3:
			v.Size, v.Like = int64(rapid.IntRange(2, 3).Draw(t, "size")), version()
		}
		return v
	}
	now := rapid.Int64Range(-5, 5).Draw(t, "time")
	switch rapid.IntRange(0, 10).Draw(t, "op") {
	case 0:
		return Begin{Reducer: Name, Time: now}
	case 1:
		o := Create{ID: file(), Parent: file(), Name: name(t), Kind: Kind(rapid.IntRange(1, 8).Draw(t, "kind")), Path: path(), Time: now}
		switch o.Kind {
		case Symlink:
			o.Target = []byte("x")
		case Graft:
			o.Volume[0], o.Generation = byte(rapid.IntRange(1, 2).Draw(t, "volume")), 3
		case File:
			if rapid.Bool().Draw(t, "content") {
				v := content()
				o.Version = &v
			}
		}
		if rapid.Bool().Draw(t, "xattr") {
			o.Xattrs = []Xattr{{Name: []byte("user.a"), Val: []byte("b")}}
		}
		return o
	case 2:
		return Link{ID: file(), Parent: file(), Name: name(t), Path: path(), Time: now}
	case 3:
		return Unlink{ID: file(), Parent: file(), Name: name(t), Heads: versions(), Time: now}
	case 4:
		return Rename{
			ID: file(), From: file(), OldName: name(t), To: file(), NewName: name(t), Replaced: file(),
			ReplacedHeads: versions(), Path: path(), Time: now,
		}
	case 5:
		return Exchange{A: file(), DirA: file(), NameA: name(t), B: file(), DirB: file(), NameB: name(t), Time: now}
	case 6:
		return Save{
			Target: file(), TargetHeads: versions(), Dir: file(), Name: name(t), Source: file(), FromDir: file(),
			FromName: name(t), Aside: rapid.Bool().Draw(t, "aside"), Path: path(), Time: now,
		}
	case 7:
		o := SetContent{ID: file(), Version: content(), Replaces: versions(), Path: path(), Mtime: now, Time: now}
		if rapid.Bool().Draw(t, "drops") {
			o.Drops = o.Replaces
		}
		return o
	case 8:
		return SetAttr{ID: file(), Set: FieldMode, Mode: 0o700}
	case 9:
		return SetXattr{ID: file(), Name: []byte("user.a"), Remove: rapid.Bool().Draw(t, "remove")}
	}
	o := Merge{ID: file(), Heads: versions(), Mtime: now, Time: now}
	if rapid.Bool().Draw(t, "joins") {
		o.Joins = []FileID{file()}
	} else {
		o.Parts = []FileID{file()}
	}
	if len(o.Heads) > 0 {
		o.Result = o.Heads[0]
		if len(o.Heads) > 1 {
			o.Copies = []Copy{{ID: file(), Head: o.Heads[1]}}
		}
		if rapid.Bool().Draw(t, "version") {
			v := content()
			o.Version, o.Result = &v, v.ID
		}
	}
	return o
}

// What does not decode has no effect, and what decodes is what was encoded.
func FuzzDecode(f *testing.F) {
	f.Add(Encode(Begin{Reducer: Name, Time: 1}))
	f.Add(Encode(Create{ID: fid(1), Parent: RootID, Name: []byte("a"), Kind: File, Path: Path{{Dir: RootID, Name: []byte("x")}}}))
	v := inline(1, 3)
	f.Add(Encode(SetContent{ID: fid(1), Version: v, Replaces: []VersionID{vid(2)}, Drops: []VersionID{vid(2)}}, Merge{ID: fid(1)}))
	for _, op := range append(everyOp(), likeOps()...) {
		f.Add(Encode(op))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m := mem{}
		New().Apply(m, author(1), eventlog.Event{Body: body})
		New().Apply(m, author(1), eventlog.Event{Body: body})
		ops, err := Decode(body)
		if err != nil {
			if len(m) > 0 {
				t.Fatalf("what does not decode changed %s", m.diff(mem{}))
			}
			return
		}
		if again := Encode(ops...); string(again) != string(body) {
			t.Fatalf("%x decodes as %x", body, again)
		}
		if err := Check(m); err != nil {
			t.Fatal(err)
		}
		New().Coalesce([]eventlog.Event{{Body: body}, {Body: body}})
		New().Needs(eventlog.Event{Body: body})
	})
}
