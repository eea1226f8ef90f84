package fs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

const (
	// journalAtOnce is how many bytes one fsync writes to the database; more go to the disk by the spill file.
	journalAtOnce = 128 << 10
	// journalLimit is how many bytes of one edit the database holds before they are gathered.
	journalLimit = 4 << 20
)

// journal is how far an edit that goes on has been made durable. The node's lock guards it.
type journal struct {
	size   int64   // of the file
	chunks uint64  // written so far
	bytes  int64   // in them
	have   extents // of the spill file, as of its last sync
	holes  extents // over the base, as of then
	spill  *spill  // the one that was synced
}

// spillID is the number of the spill file that the record names; 0: none.
func (j *journal) spillID() uint64 {
	if j.spill == nil {
		return 0
	}
	return j.spill.id
}

// An editRecord is what the database knows of bytes that are not sealed yet: a device-local record, so its
// form is this device's own. It is found under the version (pending) or the file (a journal).
type editRecord struct {
	_        struct{} `cbor:",toarray"`
	File     tree.FileID
	Local    bool
	Seq      uint64 // pending: the held event
	Size     int64
	Mtime    int64
	Replaces []tree.VersionID
	Spill    uint64 // 0: the bytes are in the database
	Have     []ipld.Range
	Below    int64
	Base     tree.VersionID // what shows below the spill; zero: nothing
	BaseAs   *ipld.Content  // its sealed form, if it has one
	Boot     string         // the machine's boot in which a spill file was written that is not synced; empty: all is on disk
	Holes    []ipld.Range   // zeros over the base
	Sums     *sumsAt        // a closed version's: where the checksums of its spill file are
	Kept     bool           // a closed version's: its event went without its bytes, see letGo
	Summed   string         // a journal's: the machine's boot in which it was written, if the sums of its spill file are stored; see trail
}

// editFields is how many fields a record has. Older ones lack the last ones.
const editFields = 16

func decodeEdit(val []byte) (rec editRecord, err error) {
	const array, null = 0x80, 0xf6
	if len(val) > 0 && val[0] > array && val[0] < array+editFields {
		missing := array + editFields - int(val[0])
		val = append([]byte{array + editFields}, val[1:]...)
		val = append(val, bytes.Repeat([]byte{null}, missing)...)
	}
	if err = dagcbor.DecodeTrusted(val, &rec); err != nil {
		return rec, fmt.Errorf("record of an edit: %w: %w", ErrDamaged, err)
	}
	if !extents(rec.Have).valid() || !extents(rec.Holes).valid() {
		return rec, fmt.Errorf("record of an edit: %w: its ranges contradict each other", ErrDamaged)
	}
	return rec, nil
}

// journals reports whether handing the edit over by its journal is no matter of syncing much.
func (b *buffer) journals() bool { return b.spill == nil || b.unsynced.total() <= journalAtOnce }

// journalLocked makes n's edit as durable as d says, as it is now, without ending it. The caller holds n.mu.
func (n *Node) journalLocked(d store.Durability) error {
	if n.buf == nil || n.orphan != nil {
		return nil
	}
	b, j := n.buf, n.buf.journal
	if !b.journaled {
		j = journal{}
	} else if len(b.unsynced) == 0 && b.size == j.size && !b.shrunk {
		if d < store.OnDisk {
			return nil
		}
		return n.vol.fs.st.Sync()
	}
	whole := false
	if b.spill != nil {
		if j.spill != b.spill || b.shrunk || b.unsynced.total() > journalAtOnce || j.bytes > journalLimit {
			if err := errors.Join(b.spill.sync(), syncBelow(b.base)); err != nil {
				return err
			}
			if j.spill != b.spill {
				b.spill.sums.unstored()
			}
			whole = true
			j.spill, j.have, j.holes = b.spill, slices.Clone(b.have), slices.Clone(b.holes)
		}
	} else if !b.journaled || b.shrunk || j.spill != nil || j.bytes > journalLimit {
		whole = true
		j.spill, j.have, j.holes = nil, nil, nil
	}
	err := n.vol.updateTo(d, func(t *txn) error {
		if whole {
			t.dropChunks(n.file, j.chunks)
			j.chunks, j.bytes = 0, 0
			if b.journaled && b.journal.spill != b.spill {
				t.dropSums(b.journal.spillID())
			}
			if b.spill == nil {
				return t.journal(n, &j, extents{{Off: 0, Len: b.size}})
			}
			t.sumUp(b.spill, j.have)
			return t.journal(n, &j, nil)
		}
		return t.journal(n, &j, b.unsynced)
	})
	if err != nil {
		return err
	}
	b.journaled, b.journal = true, j
	b.unsynced, b.shrunk = nil, false
	return b.dropRetired()
}

// journal writes the record of n's edit and the chunks that changed.
func (t *txn) journal(n *Node, j *journal, changed extents) error {
	b := n.buf
	for _, r := range changed {
		if r.Len == 0 {
			continue
		}
		val := make([]byte, 8+r.Len)
		binary.BigEndian.PutUint64(val, uint64(r.Off))
		if m, err := b.read(val[8:], r.Off); err != nil || m != int(r.Len) {
			return errors.Join(err, ErrDamaged)
		}
		t.SetLocal(chunkKey(n.file, j.chunks), val)
		j.chunks++
		j.bytes += r.Len
	}
	j.size = b.size
	rec := n.record(b)
	rec.Have, rec.Holes = j.have, j.holes
	if b.spill != nil && b.spill.sums.of != nil {
		rec.Summed = t.v.fs.boot
	}
	t.SetLocal(localKey(localJournal, n.file), dagcbor.Encode(rec))
	t.setMeta(n, n.metaLocked())
	return nil
}

// record describes the edit b of n.
func (n *Node) record(b *buffer) editRecord {
	r := editRecord{
		File: n.file, Local: n.local, Size: b.size, Mtime: b.mtime, Replaces: b.replaces,
		Have: b.have, Holes: b.holes, Below: b.below,
	}
	if b.spill == nil {
		return r
	}
	r.Spill = b.spill.id
	if b.base != nil && b.below > 0 {
		r.Base = b.baseVer
		r.settle(b.base)
	}
	return r
}

// settle notes where the base stands in the block store, if it does by now.
func (r *editRecord) settle(base content) {
	if r.Base != (tree.VersionID{}) && r.BaseAs == nil {
		r.BaseAs = sealedForm(base)
	}
}

// sealedForm is where content stands in the block store, if it does.
func sealedForm(c content) *ipld.Content {
	switch c := c.(type) {
	case sealed:
		return &c.of
	case *pending:
		return c.sealedForm()
	}
	return nil
}

func chunkKey(file tree.FileID, n uint64) []byte {
	return binary.BigEndian.AppendUint64(localKey(localChunk, file), n)
}

// dropChunks drops the n chunks of a file's journal, which are all that it has.
func (t *txn) dropChunks(file tree.FileID, n uint64) {
	for i := range n {
		t.DeleteLocal(chunkKey(file, i))
	}
}

// deleteJournal drops the record of a file's edit, with its chunks and the checksums of its spill file: it has ended, or its file is gone.
func (t *txn) deleteJournal(file tree.FileID, j journal) {
	t.dropChunks(file, j.chunks)
	t.dropSums(j.spillID())
	t.DeleteLocal(localKey(localJournal, file))
}

// moveJournal takes the record of n's edit along to the file that n is from now on.
func (t *txn) moveJournal(n *Node, file tree.FileID) error {
	b := n.buf
	if b == nil || !b.journaled {
		return nil
	}
	t.deleteJournal(n.file, journal{chunks: b.journal.chunks}) // its spill file goes along
	j := journal{spill: b.journal.spill, have: b.journal.have, holes: b.journal.holes}
	changed := extents{{Off: 0, Len: b.size}}
	if b.spill != nil {
		if err := b.spill.sync(); err != nil {
			return err
		}
		if j.spill != b.spill {
			b.spill.sums.unstored()
			t.dropSums(b.journal.spillID())
		}
		j.spill, j.have, j.holes, changed = b.spill, slices.Clone(b.have), slices.Clone(b.holes), nil
		t.sumUp(b.spill, j.have)
	}
	old := n.file
	n.file = file
	err := t.journal(n, &j, changed)
	n.file = old
	t.then(func() { b.journal = j })
	return err
}

// Fsync returns when what was written to a file, and every change of its metadata, is on disk. For a directory
// or the mount's top that is every change of names. It does not wait for another file's bytes.
func (f *FS) Fsync(id NodeID) error {
	if id.IsPast() {
		return nil
	}
	n, err := f.nodeOf(id)
	if err != nil {
		return err
	}
	if n.vol == nil {
		return f.st.Sync()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.buf != nil && n.orphan == nil {
		return f.damaged(n, n.journalLocked(store.OnDisk))
	}
	if err := n.syncShownLocked(); err != nil {
		return f.damaged(n, err)
	}
	return f.st.Sync()
}

// wholeLocked ends n's edit, and makes its bytes as durable as the name that it is about to take from another file: readers
// see the whole old or the whole new file, also after a crash. The caller holds n.mu.
func (n *Node) wholeLocked() error {
	if n.buf != nil && n.orphan == nil {
		if err := n.endEditLocked(true); err != nil {
			return err
		}
	}
	return n.syncShownLocked()
}

// syncShownLocked makes the bytes of a closed version that is not sealed yet durable.
func (n *Node) syncShownLocked() error {
	if n.orphan != nil {
		return nil
	}
	ino, err := n.inodeLocked()
	if err != nil || len(ino.Heads) == 0 {
		return err
	}
	n.vol.mu.Lock()
	p, ok := n.vol.pending[ino.Heads[0].ID]
	n.vol.mu.Unlock()
	if !ok {
		return nil
	}
	return p.toDisk()
}
