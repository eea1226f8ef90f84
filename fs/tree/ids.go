package tree

import (
	"bytes"
	"encoding/hex"
)

// A FileID names a file for ever. The device that makes the file draws it; nobody else can have drawn the same.
type FileID [16]byte

// A VersionID names one version of a file's content. The device that ends the edit draws it.
type VersionID [16]byte

// RootID is a volume's root directory. Ops may name it before anything made it.
var RootID = FileID{15: 1} // constant

// String is the id in hex.
func (id FileID) String() string { return hex.EncodeToString(id[:]) }

// String is the id in hex.
func (id VersionID) String() string { return hex.EncodeToString(id[:]) }

// A Kind says what a file is. The numbers are part of the format.
type Kind uint8

const (
	File Kind = iota + 1
	Dir
	Symlink
	Fifo
	Socket
	CharDev
	BlockDev
	Graft // in a home volume: the place of another volume's root
)

// holds reports whether k is a directory in the eyes of programs.
func (k Kind) holds() bool { return k == Dir || k == Graft }

func (k Kind) valid() bool { return k >= File && k <= Graft }

// String is the kind in words.
func (k Kind) String() string {
	switch k {
	case File:
		return "file"
	case Dir:
		return "directory"
	case Symlink:
		return "symbolic link"
	case Fifo:
		return "fifo"
	case Socket:
		return "socket"
	case CharDev:
		return "character device"
	case BlockDev:
		return "block device"
	case Graft:
		return "volume"
	}
	return "unknown"
}

// Owner stands in uid and gid for the person who mounts, on every device.
const Owner uint32 = 0xffff_fffe

// Bounds of the format. Beyond them an event has no effect.
const (
	MaxName       = 255     // bytes of a name
	MaxTarget     = 4095    // bytes of a symbolic link's target
	MaxInline     = 1 << 16 // bytes of content inside an event
	MaxXattrName  = 255
	MaxXattrValue = 1 << 16
	MaxXattrs     = 1 << 10 // in one Create
	MaxPath       = 1 << 12 // steps of a Path
	MaxHeads      = 1 << 10 // versions or files that one list of an op names
	MaxOps        = 1 << 14 // ops of one event
	MaxBy         = 64      // bytes of a device's name
	modeBits      = 0o7777
)

// ValidName reports whether b can be a name in a directory.
func ValidName(b []byte) bool {
	if len(b) == 0 || len(b) > MaxName || b[0] == '.' && (len(b) == 1 || len(b) == 2 && b[1] == '.') {
		return false
	}
	return bytes.IndexByte(b, '/') < 0 && bytes.IndexByte(b, 0) < 0
}

// A Step is a name in a directory.
type Step struct {
	_    struct{} `cbor:",toarray"`
	Dir  FileID
	Name []byte
}

// A Path leads from the root: each step's name is that of the next step's directory, and the last step's
// that of what the path leads to. Ops carry one so that what is no longer known where they arrive can be made anew.
type Path []Step
