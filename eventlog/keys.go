package eventlog

import (
	"encoding/binary"

	"github.com/rhizome-fs/rhizome/identity"
)

// A volume's keys in the database are 'l', the volume's 16 bytes, and one of these. docs/FORMATS.md
// says what stands behind each.
const (
	kindState     = 's' // the reducer's key -> the reducer's value
	kindUnframed  = 'u' // LocalSeq -> eventRecord
	kindUndo      = 'i' // LocalSeq -> undo record of an unframed event
	kindHeld      = 'e' // LocalSeq -> nothing: this unframed event may not leave yet
	kindFrame     = 'f' // feed, first Seq, hash -> the frame's bytes
	kindMeta      = 'm' // hash -> frameMeta
	kindFrameUndo = 'z' // hash -> undo record of a tentative frame
	kindTentative = 't' // depth, feed, hash -> nothing: this frame is tentative
	kindWaiting   = 'w' // hash -> nothing: this frame waits for one that it builds on
	kindCommitted = 'c' // Index, place in the entry -> hash
	kindHead      = 'h' // feed, hash -> headRecord
	kindMarks     = 'a' // -> marks
	kindFact      = 'y' // the reducer's key, escaped; moment -> what the key had until then
	kindEra       = 'r' // number -> era
	kindGrid      = 'x' // -> grids: which moments still count
	kindBase      = 'b' // -> Index up to which the log lacks the frames, since a checkpoint has what they said
	kindEarly     = 'g' // -> Index up to which frames may be here though the base is behind it: see TakeEarly
	kindKept      = 'k' // Index -> keptRecord: a checkpoint whose blocks are kept
	kindNotes     = 'o' // -> notesRecord
	kindNote      = 'n' // number -> note: keys of the state that changed
)

// logSpace is the first byte of a log's keys.
const logSpace = 'l'

// localSpace is the first byte of the keys that belong to this device alone.
const localSpace = 'f'

// volumePrefix returns the first bytes of all keys of v that stand in a space.
func volumePrefix(space byte, v identity.VolumeID) []byte {
	return append([]byte{space}, v[:]...)
}

// keyspace builds the keys of one volume.
type keyspace struct{ prefix []byte }

func newKeyspace(v identity.VolumeID) keyspace {
	p := volumePrefix(logSpace, v)
	return keyspace{p[:len(p):len(p)]}
}

func (k keyspace) kind(kind byte) []byte { return append(k.prefix, kind) }

func (k keyspace) local(kind byte, n LocalSeq) []byte {
	return binary.BigEndian.AppendUint64(k.kind(kind), uint64(n))
}

func (k keyspace) hash(kind byte, h FrameHash) []byte { return append(k.kind(kind), h[:]...) }

func (k keyspace) frame(f FeedID, first Seq, h FrameHash) []byte {
	b := append(k.kind(kindFrame), f[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(first))
	return append(b, h[:]...)
}

func (k keyspace) tentative(depth uint64, f FeedID, h FrameHash) []byte {
	b := binary.BigEndian.AppendUint64(k.kind(kindTentative), depth)
	b = append(b, f[:]...)
	return append(b, h[:]...)
}

func (k keyspace) committed(i Index, place uint32) []byte {
	b := binary.BigEndian.AppendUint64(k.kind(kindCommitted), uint64(i))
	return binary.BigEndian.AppendUint32(b, place)
}

func (k keyspace) head(f FeedID, h FrameHash) []byte {
	return append(append(k.kind(kindHead), f[:]...), h[:]...)
}

func (k keyspace) kept(i Index) []byte {
	return binary.BigEndian.AppendUint64(k.kind(kindKept), uint64(i))
}

func (k keyspace) era(n uint32) []byte { return binary.BigEndian.AppendUint32(k.kind(kindEra), n) }

// after returns the first key that does not begin with prefix, or nil if there is none.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
