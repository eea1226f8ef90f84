package tree

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
)

// mem is a State in memory.
type mem map[string][]byte

func (m mem) Get(key []byte) ([]byte, bool) {
	v, ok := m[string(key)]
	return v, ok
}

func (m mem) Set(key, val []byte) { m[string(key)] = bytes.Clone(val) }
func (m mem) Delete(key []byte)   { delete(m, string(key)) }

func (m mem) Scan(prefix, from []byte, fn func(key, val []byte) bool) {
	var keys []string
	for k := range m {
		if strings.HasPrefix(k, string(prefix)) && k >= string(from) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if !fn([]byte(k), m[k]) {
			return
		}
	}
}

func (m mem) clone() mem { return maps.Clone(m) }

// diff names the first few keys that two states have differently.
func (m mem) diff(o mem) string {
	var b strings.Builder
	keys := map[string]bool{}
	for k := range m {
		keys[k] = true
	}
	for k := range o {
		keys[k] = true
	}
	n := 0
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if v, w := m[k], o[k]; !bytes.Equal(v, w) || (v == nil) != (w == nil) {
			if n++; n <= 6 {
				fmt.Fprintf(&b, "\n %c %x %q: %x != %x", k[0], k[1:], k[min(len(k), 25):], v, w)
			}
		}
	}
	return b.String()
}

// recording notes what every key was before its first change.
type recording struct {
	mem
	before map[string][]byte // nil: absent
}

func record(m mem) recording { return recording{m, map[string][]byte{}} }

func (r recording) note(key []byte) {
	if _, ok := r.before[string(key)]; !ok {
		r.before[string(key)] = r.mem[string(key)]
	}
}

func (r recording) Set(key, val []byte) { r.note(key); r.mem.Set(key, val) }
func (r recording) Delete(key []byte)   { r.note(key); r.mem.Delete(key) }

func (r recording) undo() {
	for k, v := range r.before {
		if v == nil {
			delete(r.mem, k)
		} else {
			r.mem[k] = v
		}
	}
}

// author is the n-th device's feed.
func author(n byte) eventlog.Author {
	return eventlog.Author{Feed: eventlog.FeedID{n}, Device: identity.DeviceID{n, 0xde, 0x1c, 0xe0}}
}

func fid(n int) FileID    { return FileID{0xf1, byte(n >> 8), byte(n), 0x1d} }
func vid(n int) VersionID { return VersionID{0x7e, byte(n >> 8), byte(n), 0x5} }

func event(ops ...Op) eventlog.Event { return eventlog.Event{Time: 1, Body: Encode(ops...)} }

// apply applies ops one by one, as one device's events, and checks the state.
func (m mem) apply(t testing.TB, device byte, ops ...Op) {
	t.Helper()
	for _, op := range ops {
		if _, err := Decode(Encode(op)); err != nil {
			t.Fatalf("%T %+v: %v", op, op, err)
		}
		New().Apply(m, author(device), event(op))
	}
	if err := Check(m); err != nil {
		t.Fatal(err)
	}
}

// show lists the tree: path, kind, size of what is shown, number of heads if several, hidden claims.
func (m mem) show() string {
	var lines []string
	Walk(m, RootID, func(path [][]byte, d Dirent) bool {
		i, _ := GetInode(m, d.ID)
		line := string(bytes.Join(path, []byte("/")))
		switch d.Kind {
		case Dir:
			line += "/"
		case File:
			for k, h := range i.Heads {
				line += fmt.Sprintf("%c%d", " +"[min(k, 1)], h.Size)
			}
		default:
			line += " " + d.Kind.String()
		}
		if n := len(Claims(m, i.Parent, i.Name)); n > 1 {
			line += fmt.Sprintf(" (%d hidden)", n-1)
		}
		lines = append(lines, line)
		return true
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func inline(n int, size int64) Version {
	v := Version{ID: vid(n), Size: size, Time: int64(n), By: "dev"}
	if size > 0 {
		v.Inline = bytes.Repeat([]byte{byte(n)}, int(size))
	}
	return v
}
