package tree

import (
	"strings"
	"testing"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/ipld"
)

// again is a version with the bytes of another one.
func again(v, of int, size int64) Version {
	return Version{ID: vid(v), Size: size, By: "dev", Like: vid(of)}
}

// lenders is a state with a version of each form: 1 inline, 2 the same bytes by its name, 3 quiet, 4 pending, 5 sealed, 6 empty.
func lenders(t testing.TB) mem {
	m := mem{}
	m.apply(t, 1, Begin{Reducer: Name, Time: 1}, mk(9, root, "f", File))
	sealed := Version{ID: vid(5), Size: 9, Content: ipld.Content{Size: 9, Root: ipld.Link{CID: leafCID(1)}}}
	quiet := inline(3, 9)
	quiet.Quiet = true
	prev := 0
	for k, v := range []Version{inline(1, 9), again(2, 1, 9), quiet, {ID: vid(4), Size: 9, Pending: true}, sealed, inline(6, 0)} {
		op := SetContent{ID: id(9), Version: v}
		if prev > 0 {
			op.Replaces = heads(prev)
		}
		m.apply(t, 1, op)
		prev = k + 1
	}
	return m
}

// A version may name one that a close ended and that has bytes of its own, of that size. What names anything else has no effect, and so
// takes nothing away.
func TestLike(t *testing.T) {
	for _, tt := range []struct {
		name  string
		of    int
		size  int64
		takes bool
	}{
		{"bytes of its own", 1, 9, true}, {"another size", 1, 8, false}, {"bytes of another one", 2, 9, false}, {"quiet", 3, 9, false},
		{"pending", 4, 9, false}, {"sealed", 5, 9, false}, {"empty", 6, 9, false}, {"unknown", 77, 9, false},
	} {
		v := again(50, tt.of, tt.size)
		made := mk(10, root, "g", File)
		made.Version = &v
		head := lenders(t)
		head.apply(t, 1, edit1(9, 7, 5)) // a second one
		for _, op := range []Op{
			SetContent{ID: id(9), Version: v, Replaces: heads(6)},
			SetContent{ID: id(11), Version: v, Path: Path{{Dir: RootID, Name: []byte("h")}}},
			made,
			Merge{ID: id(9), Heads: heads(6, 7), Result: v.ID, Version: &v},
		} {
			m := head.clone()
			m.apply(t, 2, op)
			got, there := GetVersion(m, v.ID)
			if there != tt.takes {
				t.Errorf("%s: %T made a version: %t", tt.name, op, there)
			}
			if diff := m.diff(head); !there && diff != "" {
				t.Errorf("%s: %T has no effect but:%s", tt.name, op, diff)
			}
			if !there {
				continue
			}
			if b, _ := Body(m, got); string(b) != strings.Repeat("\x01", 9) || !got.IsInline() {
				t.Errorf("%s: %T: bytes %x", tt.name, op, b)
			}
			if _, ok := m[string(bodyKey(v.ID))]; ok {
				t.Errorf("%s: %T stored bytes again", tt.name, op)
			}
		}
	}
}

// A Create of a file that is there brings the attributes that it holds, though not the content that it can't have.
func TestLikeCreatedBefore(t *testing.T) {
	m := lenders(t)
	v := again(50, 77, 9)
	c := mk(9, root, "f", File)
	c.Version, c.Chosen, c.Mode = &v, FieldMode, 0o600
	m.apply(t, 1, c)
	if i, _ := GetInode(m, id(9)); i.Mode != 0o600 || len(i.Heads) != 1 || i.Heads[0].ID != vid(6) {
		t.Errorf("%+v", i)
	}
}

// An author names what has the bytes and will have them wherever the event comes, and repeats them else.
func TestTakeContent(t *testing.T) {
	m := lenders(t)
	take := func(old int) (v Version, ok bool) {
		of, _ := GetVersion(m, vid(old))
		v.ID = vid(50)
		ok = v.TakeContent(m, of)
		return v, ok
	}
	for old, want := range map[int]Version{
		1: again(50, 1, 9), 2: again(50, 1, 9), 3: {Size: 9, Inline: inline(3, 9).Inline}, 5: {Size: 9, Content: ipld.Content{Size: 9}}, 6: {},
	} {
		got, ok := take(old)
		if !ok || got.Like != want.Like || got.Size != want.Size || string(got.Inline) != string(want.Inline) ||
			got.Content.Size != want.Content.Size || !got.valid() {
			t.Errorf("of %d: %t, %+v", old, ok, got)
		}
	}
	for _, k := range [][]byte{bodyKey(vid(3)), versionKey(vid(1))} {
		m.Delete(k)
	}
	if v, ok := take(3); ok {
		t.Errorf("bytes that are not there: %+v", v)
	}
	if v, _ := take(2); v.Like != (VersionID{}) {
		t.Errorf("named a version that is not there: %+v", v)
	}
}

// The result of a Merge is not there if another Merge comes first: what was made of it in the meantime is, with its bytes.
func TestLikeOfMerge(t *testing.T) {
	m := mem{}
	m.apply(t, 1, file(1, root, "f", 1), mk(2, root, "g", File))
	m.apply(t, 1, edit1(1, 11, 1))
	m.apply(t, 2, edit1(1, 12, 1))
	blend := func(v int) Merge {
		ver := inline(v, int64(v))
		return Merge{ID: id(1), Heads: heads(11, 12), Result: ver.ID, Version: &ver}
	}
	mine := m.clone()
	mine.apply(t, 1, blend(21))
	result, _ := GetVersion(mine, vid(21))
	copied := Version{ID: vid(22)}
	if !copied.TakeContent(mine, result) {
		t.Fatal("the result has no bytes")
	}
	m.apply(t, 2, blend(23))
	m.apply(t, 1, blend(21), SetContent{ID: id(2), Version: copied})
	if got := m.show(); got != lines("f 23", "g 21") {
		t.Errorf("got\n%s", got)
	}
}

// Edits of which one drops the other stay two if they name others: on a state without these neither has an effect, or one has.
func TestCoalesceLike(t *testing.T) {
	base := mem{}
	base.apply(t, 1, file(1, root, "f", 1), mk(2, root, "g", File))
	quiet := again(50, 1, 1)
	quiet.Quiet = true
	plain := inline(51, 51)
	plain.Quiet = true
	for name, window := range map[string][]Op{
		"the first": {
			SetContent{ID: id(2), Version: quiet},
			SetContent{ID: id(2), Version: inline(52, 52), Replaces: heads(50), Drops: heads(50)},
		},
		"the second": {
			SetContent{ID: id(2), Version: plain},
			SetContent{ID: id(2), Version: again(52, 1, 1), Replaces: heads(51), Drops: heads(51)},
		},
		"the first of a new file": {
			mk(3, root, "h", File), SetContent{ID: id(3), Version: again(52, 1, 1)},
		},
	} {
		var es []eventlog.Event
		for _, op := range window {
			es = append(es, event(op))
		}
		for _, m := range []mem{base, {}} {
			if diff := m.fold(1, es).diff(m.fold(1, New().Coalesce(es))); diff != "" {
				t.Errorf("%s names another: coalesced, it leaves%s", name, diff)
			}
		}
	}
}

// Whatever is wrong with bytes that a version has from another one is named.
func TestCheckLike(t *testing.T) {
	for what, damage := range map[string]func(m mem){
		"no bytes":   func(m mem) { m.Delete(bodyKey(vid(1))) },
		"no version": func(m mem) { m.Delete(versionKey(vid(1))); m.Delete(bodyKey(vid(1))) },
		"other size": func(m mem) {
			v, _ := GetVersion(m, vid(2))
			v.Size = 8
			m.Set(versionKey(v.ID), putVersionRecord(nil, &v))
		},
		"a chain": func(m mem) {
			v, _ := GetVersion(m, vid(2))
			v.ID = vid(60)
			v.Like = vid(2)
			m.Set(versionKey(v.ID), putVersionRecord(nil, &v))
		},
		"bytes of its own": func(m mem) {
			v, _ := GetVersion(m, vid(2))
			v.inline = true
			m.Set(versionKey(v.ID), putVersionRecord(nil, &v))
			m.Set(bodyKey(v.ID), make([]byte, 9))
		},
		"a quiet one": func(m mem) {
			v, _ := GetVersion(m, vid(2))
			v.Like = vid(3)
			m.Set(versionKey(v.ID), putVersionRecord(nil, &v))
		},
	} {
		m := lenders(t)
		if err := Check(m); err != nil {
			t.Fatal(err)
		}
		damage(m)
		want := "which does not have them"
		if what == "no bytes" {
			want = "inline true, body of 0"
		}
		if err := Check(m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Versions are the same whose bytes are the same, whichever of them has them.
func TestResolveLike(t *testing.T) {
	m := lenders(t)
	if !sameAsAny(m, vid(2), []VersionID{vid(5), vid(1)}) || sameAsAny(m, vid(2), []VersionID{vid(5), vid(3)}) {
		t.Error("2 has the bytes of 1 alone")
	}
	m.apply(t, 1, mk(20, root, "n", File), mk(21, root, "m", File),
		SetContent{ID: id(20), Version: again(61, 1, 9)}, SetContent{ID: id(21), Version: Version{ID: vid(62), Size: 9, Inline: inline(1, 9).Inline}})
	if !sameAsAny(m, vid(61), heads(62)) || !sameAsAny(m, vid(62), heads(61)) || !sameAsAny(m, vid(61), heads(2)) {
		t.Error("equal bytes are told apart")
	}
}
