package tree

import "github.com/rhizome-fs/rhizome/eventlog"

// Small content stands in the event that makes a version, and in the state behind the version's id. A later version with the same bytes (a
// file is restored) need not repeat them: it may name the one that has them, which is then like any other that reads as it does.
//
// INVARIANT: what a version in the state names has bytes of its own there, of the same size, and was ended by a close, so that nothing ever
// drops it. There are no chains.

// bodyAt is the version behind whose id the state has v's inline bytes.
func (v *Version) bodyAt() VersionID {
	if v.Like != (VersionID{}) {
		return v.Like
	}
	return v.ID
}

// lends reports whether others may have v's inline bytes. v is from the state.
func (v *Version) lends() bool { return v.inline && !v.Quiet }

// hasBytes reports whether the bytes are there that a new version says it has; what says otherwise has no effect.
func (w *work) hasBytes(v *Version) bool {
	if v.Like == (VersionID{}) {
		return true
	}
	of, ok := GetVersion(w.s, v.Like)
	return ok && of.lends() && of.Size == v.Size
}

// Lender returns the version that a new one may name to have the inline bytes of old. There is none if old is not inline, or if what has its
// bytes may be gone in another order of events: a quiet version, which its successor may drop, and what may be the result of a Merge, which
// does not count if another Merge comes first. Whatever else r has is there wherever an event comes that its reader makes.
func Lender(r eventlog.Reader, old Version) (VersionID, bool) {
	of, ok := old, true
	if old.Like != (VersionID{}) {
		of, ok = GetVersion(r, old.Like)
	}
	return of.ID, ok && of.lends() && len(of.Prev) < 2
}

// TakeContent gives v the content of a version that r has and that is not pending: stored once, if that can be. v is to be made with an event
// for the same state. It reports false if the bytes are not there.
func (v *Version) TakeContent(r eventlog.Reader, old Version) bool {
	v.Size, v.Content = old.Size, old.Content
	if !old.IsInline() {
		return true
	}
	var ok bool
	if v.Like, ok = Lender(r, old); ok {
		return true
	}
	v.Like = VersionID{}
	v.Inline, ok = Body(r, old)
	return ok && int64(len(v.Inline)) == v.Size
}
