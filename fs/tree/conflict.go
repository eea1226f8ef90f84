package tree

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"
)

// An edit is what a conflict name tells of what bears it, as the edit recorded it.
type edit struct {
	by   []byte
	time int64
	id   [16]byte
	dir  bool // names of directories have no extension
}

// creation is the edit that made n. It never changes, so a file's conflict name does not depend on what
// else happened to the file.
func (w *work) creation(n *node) edit {
	return edit{by: n.in.By, time: n.in.Btime, id: n.in.ID, dir: n.in.Kind.holds()}
}

// edited is the edit that made a version, or n's creation if the version is unknown.
func (w *work) edited(n *node, v VersionID) edit {
	ver, ok := GetVersion(w.s, v)
	if !ok {
		return w.creation(n)
	}
	return edit{by: []byte(ver.By), time: ver.Time, id: v}
}

const (
	maxExt    = 24 // bytes of what counts as a name's extension
	maxShort  = 32 // bytes of a device's name in a conflict name
	timeStamp = "2006-01-02 15.04.05"
)

// name returns the n-th conflict name of a name: "name (conflict DEVICE DATE TIME ID).ext".
func (e edit) name(name []byte, n int) []byte {
	stem, ext := name, []byte(nil)
	if dot := bytes.LastIndexByte(name, '.'); dot > 0 && !e.dir && len(name)-dot <= maxExt {
		stem, ext = name[:dot], name[dot:]
	}
	mark := " (conflict " + short(e.by) + " " + time.Unix(0, e.time).UTC().Format(timeStamp) + " " + hex.EncodeToString(e.id[:4])
	if n > 1 {
		mark += " " + strconv.Itoa(n)
	}
	mark += ")"
	stem = cut(stem, MaxName-len(mark)-len(ext))
	c := make([]byte, 0, len(stem)+len(mark)+len(ext))
	return append(append(append(c, stem...), mark...), ext...)
}

// short is a device's name as it can stand in a file's name.
func short(by []byte) string {
	b := clone(cut(by, maxShort))
	for i, c := range b {
		if c < ' ' || c == '/' || c == 0x7f {
			b[i] = '-'
		}
	}
	return string(b)
}

// cut shortens b to n bytes at most; what is UTF-8 stays UTF-8.
func cut(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	if utf8.Valid(b) {
		for n > 0 && !utf8.RuneStart(b[n]) {
			n--
		}
	}
	return b[:n]
}
