package tree

import (
	"math"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
)

// putVersionRecord writes a version as the state keeps it. Inline bytes have a record of their own, so
// that nobody reads them who only asks for a size.
func putVersionRecord(b []byte, v *Version) []byte {
	b = putArray(b, 7)
	b = putIDs(b, v.Prev)
	b = putInt(b, v.Size)
	b = putInt(b, v.Time)
	b = putBytes(b, v.Device[:])
	b = putText(b, v.By)
	flags := uint64(0)
	if v.Quiet {
		flags |= flagQuiet
	}
	if v.Pending {
		flags |= flagPending
	}
	if v.hasBody() {
		flags |= flagInline
	}
	b = putUint(b, flags)
	return putWhere(b, v)
}

func parseVersion(id VersionID, rec []byte) (v Version, ok bool) {
	s := scanner{b: rec}
	s.exactly(7)
	v.ID, v.Prev, v.Size, v.Time = id, scanIDs[VersionID](&s, math.MaxInt32), s.int(), s.int()
	s.fixed(v.Device[:])
	v.By = s.text(MaxBy)
	flags := s.uint(flagQuiet | flagPending | flagInline)
	v.Quiet, v.Pending, v.inline = flags&flagQuiet != 0, flags&flagPending != 0, flags&flagInline != 0
	s.where(&v)
	return v, s.end()
}

// ParseVersion reads what stands behind a version's key.
func ParseVersion(id VersionID, rec []byte) (Version, bool) { return parseVersion(id, rec) }

// GetVersion reads a version, without its inline bytes.
func GetVersion(r eventlog.Reader, id VersionID) (Version, bool) {
	rec, ok := r.Get(versionKey(id))
	if !ok {
		return Version{}, false
	}
	return parseVersion(id, rec)
}

// Body reads the inline bytes of a version that r has.
func Body(r eventlog.Reader, v Version) ([]byte, bool) { return r.Get(BodyKey(v)) }

// Parents lists the versions that one replaced: those that its edit named, and those that a Save put it in
// the place of.
func Parents(r eventlog.Reader, id VersionID) []VersionID {
	v, ok := GetVersion(r, id)
	if !ok {
		return nil
	}
	prev := v.Prev
	for _, p := range savedOver(r, id) {
		prev = add(prev, p)
	}
	return prev
}

// savedOver reads what a Save put a version in the place of.
func savedOver(r eventlog.Reader, id VersionID) []VersionID {
	rec, ok := r.Get(idKey(keyParents, id))
	if !ok {
		return nil
	}
	s := scanner{b: rec}
	ids := scanIDs[VersionID](&s, math.MaxInt32)
	if !s.end() {
		return nil
	}
	return ids
}

// Sealed puts a version's final form in place of its pending record: the patch that goes with amending
// the event. It does nothing if the version is not there or not pending.
func Sealed(s eventlog.State, v Version) {
	rec, ok := GetVersion(s, v.ID)
	if !ok || !rec.Pending {
		return
	}
	rec.Pending, rec.Inline, rec.Content = false, v.Inline, v.Content
	s.Set(versionKey(v.ID), putVersionRecord(nil, &rec))
	if len(v.Inline) > 0 {
		s.Set(bodyKey(v.ID), v.Inline)
	}
}

// Drops lists those of the versions that an edit replaces which it may drop: quiet ones of the device itself
// that are sealed.
func Drops(r eventlog.Reader, replaces []VersionID, device identity.DeviceID) []VersionID {
	var drops []VersionID
	for _, id := range replaces {
		if v, ok := GetVersion(r, id); ok && v.Quiet && !v.Pending && v.Device == device {
			drops = append(drops, id)
		}
	}
	return drops
}
