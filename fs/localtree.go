package fs

import (
	"bytes"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// The device-local tree of a volume: files that never leave this device, kept by the same reducer under a prefix of their own. Most
// volumes have none, and then it costs nothing to look into it.

// localState lets the reducer keep the device-local tree under its own prefix.
type localState struct{ tx *eventlog.Tx }

func treeKey(key []byte) []byte {
	return append(append(make([]byte, 0, 1+len(key)), localTreeKeys), key...)
}

func (s localState) Get(key []byte) ([]byte, bool) { return s.tx.GetLocal(treeKey(key)) }
func (s localState) Set(key, val []byte)           { s.tx.SetLocal(treeKey(key), bytes.Clone(val)) }
func (s localState) Delete(key []byte)             { s.tx.DeleteLocal(treeKey(key)) }
func (s localState) Scan(prefix, from []byte, fn func(key, val []byte) bool) {
	s.tx.ScanLocal(treeKey(prefix), treeKey(from), func(k, v []byte) bool { return fn(k[1:], v) })
}

// findLocalTree sets localTree.
func (v *Volume) findLocalTree() error {
	return v.log.Local(func(r eventlog.Reader) {
		r.Scan([]byte{localTreeKeys}, nil, func(_, _ []byte) bool {
			v.localTree.Store(true)
			return false
		})
	})
}

// noTree is the device-local tree of a volume that has none.
type noTree struct{}

func (noTree) Get([]byte) ([]byte, bool)                             { return nil, false }
func (noTree) Scan(_, _ []byte, _ func(key, val []byte) (more bool)) {}

// localReader is localState for reading only.
type localReader struct{ r eventlog.Reader }

func (s localReader) Get(key []byte) ([]byte, bool) { return s.r.Get(treeKey(key)) }
func (s localReader) Scan(prefix, from []byte, fn func(key, val []byte) bool) {
	s.r.Scan(treeKey(prefix), treeKey(from), func(k, v []byte) bool { return fn(k[1:], v) })
}
