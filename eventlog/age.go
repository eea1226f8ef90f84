package eventlog

import (
	"math"

	"github.com/rhizome-fs/rhizome/identity"
)

// Of facts, a reader of the past wants those that are behind its moment. In a directory where very many names came and went before it, or among
// the many states of a file that was busy then, these are few: so the database knows of each block of its tables which moments it has.

// FactAge is a store.Age: that of facts.
func FactAge(key []byte) (age uint64, ok bool) {
	const at = 1 + len(identity.VolumeID{}) // of the kind
	if len(key) <= at+momentLen || key[0] != logSpace || key[at] != kindFact {
		return 0, false
	}
	return readMoment(key[len(key)-momentLen:]).age(), true
}

// age is m in 64 bits: eras, and times to 32 µs. It never falls as moments go on.
func (m Moment) age() uint64 {
	const eraBits, timeBits = 16, 48
	if m.Era >= 1<<eraBits-1 {
		return math.MaxUint64 - 1 // always looked at
	}
	return uint64(m.Era)<<timeBits | uint64(max(m.Time, 0))>>(63-timeBits)
}
