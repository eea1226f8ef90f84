//go:build linux

package mount

import (
	"math"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/fs"
)

// ttl is how long the kernel may keep entries and attributes: it is told what changes behind its back.
const ttl = uint64(24 * time.Hour / time.Second)

// fleetingTTL is ttl for names that may soon lead to something else without the kernel being told. As the kernel asks again for as long as
// programs use such a name, they see one thing meanwhile.
const fleetingTTL = 1

func fillAttr(a fs.Attr, out *fuse.Attr) {
	out.Ino = a.Ino
	out.Size = uint64(a.Size)
	out.Blocks = uint64(a.Data+511) / 512
	out.Blksize = 4096
	out.Mode = a.Mode
	out.Nlink = a.Nlink
	out.Uid, out.Gid = a.UID, a.GID
	out.Rdev = a.Rdev
	out.Atime, out.Atimensec = split(a.Atime)
	out.Mtime, out.Mtimensec = split(a.Mtime)
	out.Ctime, out.Ctimensec = split(a.Ctime)
}

// fillStatx is fillAttr with the time of birth, if it is known.
func fillStatx(a fs.Attr, out *fuse.Statx) {
	var attr fuse.Attr
	fillAttr(a, &attr)
	out.Mask = unix.STATX_BASIC_STATS
	out.Ino, out.Size, out.Blocks, out.Blksize = attr.Ino, attr.Size, attr.Blocks, attr.Blksize
	out.Mode, out.Nlink, out.Uid, out.Gid = uint16(attr.Mode), attr.Nlink, attr.Uid, attr.Gid
	out.RdevMajor, out.RdevMinor = unix.Major(uint64(attr.Rdev)), unix.Minor(uint64(attr.Rdev))
	out.Atime = fuse.SxTime{Sec: attr.Atime, Nsec: attr.Atimensec}
	out.Mtime = fuse.SxTime{Sec: attr.Mtime, Nsec: attr.Mtimensec}
	out.Ctime = fuse.SxTime{Sec: attr.Ctime, Nsec: attr.Ctimensec}
	if a.Btime != 0 {
		out.Mask |= unix.STATX_BTIME
		out.Btime.Sec, out.Btime.Nsec = split(a.Btime)
	}
}

// split turns ns since 1970 into seconds, which may be negative, and the ns above them.
func split(t int64) (sec uint64, ns uint32) {
	s, n := t/1e9, t%1e9
	if n < 0 {
		s, n = s-1, n+1e9
	}
	return uint64(s), uint32(n)
}

// join is the inverse of split. What 64 bits of ns don't hold, before 1677 and after 2262, becomes the nearest that they do, as on
// file systems whose times have bounds of their own.
func join(sec uint64, ns uint32) int64 {
	const second int64 = 1e9
	const last = math.MaxInt64 / second
	switch s := int64(sec); {
	case s > last || s == last && int64(ns) > math.MaxInt64%second:
		return math.MaxInt64
	case s < -last:
		return -last * second
	default:
		return s*second + int64(ns)
	}
}

func fillEntry(e fs.Entry, out *fuse.EntryOut) {
	out.NodeId = uint64(e.Node)
	if e.Node != fs.Root { // the kernel wants 0 for that
		out.Generation = 1 // a number of a node is never another file's
	}
	out.EntryValid, out.AttrValid = ttl, ttl
	if e.Fleeting {
		out.EntryValid = fleetingTTL
	}
	fillAttr(e.Attr, &out.Attr)
}

// changesOf reads what a SETATTR asks for. now is for UTIME_NOW.
func changesOf(in *fuse.SetAttrIn, now time.Time) fs.Changes {
	var c fs.Changes
	if in.Valid&fuse.FATTR_MODE != 0 {
		m := in.Mode & 0o7777
		c.Mode = &m
	}
	if in.Valid&fuse.FATTR_UID != 0 {
		c.UID = &in.Uid
	}
	if in.Valid&fuse.FATTR_GID != 0 {
		c.GID = &in.Gid
	}
	if in.Valid&fuse.FATTR_SIZE != 0 {
		s := int64(in.Size)
		c.Size = &s
	}
	if in.Valid&fuse.FATTR_ATIME != 0 {
		t := join(in.Atime, in.Atimensec)
		if in.Valid&fuse.FATTR_ATIME_NOW != 0 {
			t = now.UnixNano()
		}
		c.Atime = &t
	}
	if in.Valid&fuse.FATTR_MTIME != 0 {
		t := join(in.Mtime, in.Mtimensec)
		if in.Valid&fuse.FATTR_MTIME_NOW != 0 {
			t = now.UnixNano()
		}
		c.Mtime = &t
	}
	c.KillSetID = in.Valid&fuse.FATTR_KILL_SUIDGID != 0
	c.Member = memberOf(&in.InHeader)
	if in.Valid&^(fuse.FATTR_FH|fuse.FATTR_LOCKOWNER) == 0 {
		c.Chown = &in.InHeader.Uid
	}
	return c
}
