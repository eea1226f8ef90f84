package eventlog

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/rhizome-fs/rhizome/identity"
)

// A Fact is what stood behind a key of the state until a moment.
type Fact struct {
	Until Moment
	Val   []byte // valid during the call only that is given the fact
	Had   bool   // false: nothing stood there
	// By is the device whose event ended that; zero if it is not known, as of facts of a version that did not note it.
	By identity.DeviceID
}

// A fact's key is the state's key, escaped so that facts are in the order of the keys of the state, and the moment. Its record is nothing, if nothing
// stood there and it is not known who ended that, or flags, the device if it is another one than this, and the value.
const (
	factHad   = 1 << iota // a value follows
	factOwn               // this device's event ended it
	factOther             // that of the device which follows did
)

// appendFactKey appends the key of a fact.
func appendFactKey(b []byte, k keyspace, key []byte, m Moment) []byte {
	return appendMoment(append(appendFactsOf(b, k, key), 0, 0), m)
}

// appendFactsOf appends what the facts of all keys that begin with key begin with.
func appendFactsOf(b []byte, k keyspace, key []byte) []byte {
	b = append(append(b, k.prefix...), kindFact)
	for {
		i := bytes.IndexByte(key, 0)
		if i < 0 {
			return append(b, key...)
		}
		b = append(append(b, key[:i]...), 0, 0xff)
		key = key[i+1:]
	}
}

// appendBehindFacts appends the first key behind the facts of one key.
func appendBehindFacts(b []byte, k keyspace, key []byte) []byte {
	return append(appendFactsOf(b, k, key), 0, 1)
}

// splitFactKey returns the key of the state, appended to b, and the moment of the key of a fact, without what stands before
// the escaped key.
func splitFactKey(b, fact []byte) (key []byte, m Moment, err error) {
	n := len(fact) - momentLen - 2
	if n < 0 || fact[n] != 0 || fact[n+1] != 0 {
		return nil, Moment{}, fmt.Errorf("fact %x: %w", fact, errShort)
	}
	m = readMoment(fact[n+2:])
	for rest := fact[:n]; ; {
		i := bytes.IndexByte(rest, 0)
		if i < 0 {
			return append(b, rest...), m, nil
		}
		if i+1 == len(rest) || rest[i+1] != 0xff {
			return nil, Moment{}, fmt.Errorf("fact %x: %w", fact, errShort)
		}
		b = append(b, rest[:i+1]...)
		rest = rest[i+2:]
	}
}

// putFact adds to b that key had a value, or none if not ok, until m. other is whose event ended that; nil: this device's.
func putFact(b *pebble.Batch, scratch []byte, k keyspace, key []byte, m Moment, val []byte, ok bool, other *identity.DeviceID) []byte {
	scratch = appendFactKey(scratch[:0], k, key, m)
	flags, n := byte(factOwn), 1+len(val)
	if ok {
		flags |= factHad
	}
	if other != nil {
		flags ^= factOwn | factOther
		n += len(other)
	}
	op := b.SetDeferred(len(scratch), n)
	copy(op.Key, scratch)
	op.Value[0] = flags
	rest := op.Value[1:]
	if other != nil {
		rest = rest[copy(rest, other[:]):]
	}
	copy(rest, val)
	_ = op.Finish() // fails on indexed batches only
	return scratch
}

// isFact reports whether a record is that of a fact.
func isFact(rec []byte) bool {
	_, err := parseFact(rec, identity.DeviceID{})
	return err == nil
}

// parseFact reads what putFact wrote, on the device own.
func parseFact(rec []byte, own identity.DeviceID) (f Fact, err error) {
	if len(rec) == 0 {
		return f, nil
	}
	flags, rest := rec[0], rec[1:]
	switch flags &^ factHad {
	case 0:
	case factOwn:
		f.By = own
	case factOther:
		if len(rest) < len(f.By) {
			return f, fmt.Errorf("fact: %w", errShort)
		}
		rest = rest[copy(f.By[:], rest):]
	default:
		return f, fmt.Errorf("fact with flags %x", flags)
	}
	if f.Had = flags&factHad != 0; f.Had {
		f.Val = rest
	} else if len(rest) > 0 {
		return f, fmt.Errorf("fact: bytes behind nothing")
	}
	return f, nil
}
