package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	pebblerecord "github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A tableList is what the database's list of tables says, as far as it can be read. The database itself opens no list of which a table is missing or
// that is damaged, so it is read here: a row of records, each a change of the list (see manifest.VersionEdit in Pebble, whose package is its own).
type tableList struct {
	path  string
	live  map[uint64]KeyRange // tables that it names, and what is in them
	next  uint64              // numbers from here on are of tables that came after it
	whole bool                // it could be read to its end
}

// A KeyRange is all keys from From on up to To, and To itself.
type KeyRange struct{ From, To []byte }

// errList says that a list has something that this reader does not know.
var errList = errors.New("the list of tables is damaged or of another version")

// readTableList reads the newest list in a database's directory.
func readTableList(fs vfs.FS, dir string) (*tableList, error) {
	desc, err := pebble.Peek(dir, fs)
	if err != nil {
		return nil, err
	}
	if !desc.Exists {
		return nil, fmt.Errorf("%w: there is none", errList)
	}
	f, err := fs.Open(desc.ManifestFilename)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l := &tableList{path: desc.ManifestFilename, live: map[uint64]KeyRange{}}
	for records, n := pebblerecord.NewReader(f, 0), 0; ; n++ {
		rec, err := records.Next()
		var edit []byte
		if err == nil {
			edit, err = io.ReadAll(rec)
		}
		if errors.Is(err, io.EOF) && n > 0 {
			l.whole = true
			return l, nil
		}
		if err == nil {
			err = l.edit(edit)
		}
		if err != nil && n == 0 {
			return nil, fmt.Errorf("%s: %w", desc.ManifestFilename, err)
		}
		if err != nil {
			return l, nil
		}
	}
}

// What begins the parts of a change of the list, and the fields of a table.
const (
	listComparator  = 1
	listLogNumber   = 2
	listNextFile    = 3
	listLastSeq     = 4
	listDeleted     = 6
	listNewFile2    = 100
	listNewFile4    = 103
	listPrevLog     = 9
	fieldEnd        = 1
	fieldUnsafeMask = 1 << 6 // who does not know a field with this bit does not know the table
	keyTrailer      = 8      // behind each key
)

// edit applies one change. A change that can't be read as a whole is not applied.
func (l *tableList) edit(data []byte) error {
	r := listReader{r: bufio.NewReader(bytes.NewReader(data))}
	var gone []uint64
	came := map[uint64]KeyRange{}
	next := l.next
	for {
		tag, err := binary.ReadUvarint(r.r)
		if errors.Is(err, io.EOF) {
			break
		}
		switch tag {
		case listComparator:
			r.bytes()
		case listNextFile:
			next = r.uvarint()
		case listLogNumber, listLastSeq, listPrevLog:
			r.uvarint()
		case listDeleted:
			r.uvarint() // level
			gone = append(gone, r.uvarint())
		case listNewFile2, listNewFile4:
			n, keys := r.table(tag == listNewFile4)
			came[n] = keys
		default:
			return fmt.Errorf("%w: it has %d", errList, tag)
		}
		if err := errors.Join(err, r.err); err != nil {
			return err
		}
	}
	for _, n := range gone { // a table that moves to another level goes and comes
		delete(l.live, n)
	}
	for n, keys := range came {
		l.live[n] = keys
	}
	l.next = next
	return nil
}

// A listReader reads the parts of a change. Its first error stays.
type listReader struct {
	r   *bufio.Reader
	err error
}

func (r *listReader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(r.r)
	r.err = err
	return n
}

func (r *listReader) bytes() []byte {
	n := r.uvarint()
	if r.err == nil && n > maxListed {
		r.err = errList
	}
	if r.err != nil {
		return nil
	}
	b := make([]byte, n)
	_, r.err = io.ReadFull(r.r, b)
	return b
}

// maxListed bounds the bytes of a key in a list.
const maxListed = 1 << 20

// key reads a key as it stands in tables.
func (r *listReader) key() []byte {
	b := r.bytes()
	if len(b) < keyTrailer {
		r.err = errors.Join(r.err, errList)
		return nil
	}
	return b[:len(b)-keyTrailer]
}

// table reads what is said of a new table.
func (r *listReader) table(fields bool) (number uint64, keys KeyRange) {
	r.uvarint() // level
	number = r.uvarint()
	r.uvarint() // size
	keys = KeyRange{r.key(), r.key()}
	r.uvarint() // lowest sequence number
	r.uvarint() // highest
	for fields && r.err == nil {
		field := r.uvarint()
		if field == fieldEnd {
			break
		}
		if field&fieldUnsafeMask != 0 {
			r.err = errors.Join(r.err, errList)
		}
		r.bytes()
	}
	return number, keys
}
