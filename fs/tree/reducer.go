package tree

import (
	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/ipld"
)

// Name is the reducer's name and version, as a volume's first event gives it.
const Name = "tree/1"

// Reducer implements eventlog.Reducer.
type Reducer struct{}

var _ eventlog.Reducer = (*Reducer)(nil)

// New returns the reducer.
func New() *Reducer { return &Reducer{} }

// Name returns the reducer's name and version.
func (*Reducer) Name() string { return Name }

// Apply changes s by e. Package tree's doc says what it promises.
func (*Reducer) Apply(s eventlog.State, a eventlog.Author, e eventlog.Event) {
	ops, err := Decode(e.Body)
	if err != nil {
		return
	}
	if _, stopped := Stopped(s); stopped {
		return
	}
	w := work{s: s, a: a}
	for _, op := range ops {
		switch o := op.(type) {
		case Begin:
			if w.begin(o); w.stopped {
				w.flush()
				return
			}
		case Create:
			w.create(&o)
		case Link:
			w.link(&o)
		case Unlink:
			w.unlink(&o)
		case Rename:
			w.rename(&o)
		case Exchange:
			w.exchange(&o)
		case Save:
			w.save(&o)
		case SetContent:
			w.setContent(&o)
		case SetAttr:
			w.setAttr(&o)
		case SetXattr:
			w.setXattr(&o)
		case Merge:
			w.merge(&o)
		}
	}
	w.flush()
}

// Stopped reports whether the volume names a later reducer, which one, and so that nothing past that is
// applied here.
func Stopped(r eventlog.Reader) (reducer string, ok bool) {
	v, ok := r.Get([]byte{keyStop})
	return string(v), ok
}

func (w *work) begin(o Begin) {
	if o.Reducer != Name {
		w.s.Set([]byte{keyStop}, []byte(o.Reducer))
		w.stopped = true
		return
	}
	if _, ok := w.s.Get(inodeKey(RootID)); !ok {
		root := w.load(RootID)
		if !root.dirty {
			root.in.Mtime, root.in.Btime, root.dirty = o.Time, o.Time, true
		}
	}
}

// Remembers says that history knows names, attributes, and inodes that are found by a name. Versions it need not know: they don't change.
func (*Reducer) Remembers(key []byte, ok bool) bool {
	switch key[0] {
	case keyInode:
		return ok || FileID(key[1:]) == RootID
	case keyDirent, keyName, keyXattr:
		return true
	}
	return false
}

// Needs returns the roots of the contents that e names.
func (*Reducer) Needs(e eventlog.Event) []ipld.CID {
	ops, err := Decode(e.Body)
	if err != nil {
		return nil
	}
	var cids []ipld.CID
	for _, op := range ops {
		if v := versionOf(op); v != nil && !v.Content.Root.CID.IsZero() {
			cids = add(cids, v.Content.Root.CID)
		}
	}
	return cids
}

// versionOf returns the version that an op makes, or nil.
func versionOf(op Op) *Version {
	switch o := op.(type) {
	case Create:
		return o.Version
	case SetContent:
		return &o.Version
	case Merge:
		return o.Version
	}
	return nil
}
