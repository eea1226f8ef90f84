package unixfs

import (
	"io"
	"os"
	"time"

	"github.com/ipfs/boxo/files"
)

// A Kind is what UnixFS knows of.
type Kind uint8

// The kinds.
const (
	File Kind = iota + 1
	Dir
	Symlink
)

// An Entry is one name of a directory, or the root, whose name is empty. What Node means is the Source's matter.
type Entry struct {
	Name   string
	Kind   Kind
	Mode   uint32 // 07777
	Mtime  time.Time
	Size   int64
	Target string // of a symlink
	Node   uint64
}

func (e Entry) mode() os.FileMode { return files.UnixPermsToModePerms(e.Mode) }

// A Source is a tree that does not change.
type Source interface {
	// Entries calls fn for what is in a directory, in any order. Node is good during the call of fn.
	Entries(dir uint64, fn func(Entry) error) error
	// Find looks a name up that Entries has told, for the time of fn.
	Find(dir uint64, name string, fn func(Entry) error) error
	// Open opens a file for the time of fn.
	Open(file uint64, fn func(io.ReaderAt) error) error
}
