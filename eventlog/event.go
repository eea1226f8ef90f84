package eventlog

import (
	"crypto/sha256"

	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A FeedID names the events of one device and incarnation in one volume.
type FeedID [16]byte

// A Feed says whose events: FeedID is derived from it.
type Feed struct {
	_           struct{} `cbor:",toarray"`
	Volume      identity.VolumeID
	Device      identity.DeviceID
	Incarnation uint64
}

// ID returns the feed's name: the first 16 bytes of SHA-256 over the volume, the device and the
// incarnation (big endian).
func (f Feed) ID() FeedID {
	var b [56]byte
	copy(b[:16], f.Volume[:])
	copy(b[16:48], f.Device[:])
	for i := range 8 {
		b[48+i] = byte(f.Incarnation >> (56 - 8*i))
	}
	h := sha256.Sum256(b[:])
	return FeedID(h[:16])
}

// Seq is an event's place in its feed; the first is 1.
type Seq uint64

// Index is an event's place in the committed order, as the sequencer gave it; the first is 1.
type Index uint64

// A FrameHash is the SHA-256 of a whole frame.
type FrameHash [32]byte

// An Event is an immutable change to a volume.
type Event struct {
	_    struct{} `cbor:",toarray"`
	Time int64    // ns since 1970 UTC by the author's clock; never decides anything
	Body []byte   // the reducer's own canonical DAG-CBOR
}

// An Author tells a reducer whose event it applies.
type Author struct {
	Feed   FeedID
	Device identity.DeviceID
}

// A Reader reads a volume's state. Keys and values are the reducer's. What it returns may be kept.
type Reader interface {
	// Get returns the value of key, or nil and false.
	Get(key []byte) ([]byte, bool)
	// Scan calls fn for the keys that begin with prefix and are not less than from, in byte order,
	// until fn returns false. The slices are valid during the call only.
	Scan(prefix, from []byte, fn func(key, val []byte) bool)
}

// A State is what a reducer changes. Errors of the disk do not reach the reducer: whoever made the
// State keeps the first one and throws the whole change away.
type State interface {
	Reader
	Set(key, val []byte)
	Delete(key []byte)
}

// A Foreteller is a State that can be told, before it sets a key for the first time, that nothing stands behind it. That saves the look
// for what the key had before; if it is wrong, the state is.
type Foreteller interface {
	State
	Absent(key []byte)
}

// A Reducer turns events into state. It is a pure function of state and event: no clock, no
// randomness, no map order, no I/O but through State; and it is total: any bytes have an outcome.
type Reducer interface {
	// Name and version, as a volume's first event names it: "tree/1".
	Name() string
	// Apply changes s by e. What e asks that cannot be is decided by the reducer, not refused.
	Apply(s State, a Author, e Event)
	// Coalesce returns events that have the same outcome to the byte, on any state that knows none of the ids
	// that es draw, and are as few as can be. It drops nothing that a close ended, on states that know them too.
	Coalesce(es []Event) []Event
	// Remembers reports whether history is to know what stood behind key before a change; ok: something did. It need not know it of
	// what is only found by something else that it knows, if it never changes, or was not there.
	Remembers(key []byte, ok bool) bool
	// Needs returns the blocks that e names.
	Needs(e Event) []ipld.CID
}
