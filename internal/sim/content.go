package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// A closed version is one that a close ended.
type closed struct {
	id   tree.VersionID
	by   *replica
	sum  [32]byte
	due  bool // it was promised
	away bool // the store that promised it was replaced by an older copy
	lost bool // and nobody else has it
}

// pendingKey is where the bytes of a version wait for being sealed, among the device's own keys.
func pendingKey(id tree.VersionID) []byte { return append([]byte("pending"), id[:]...) }

// maxInline is how long content is that stands in the event.
const maxInline = 1 << 12

// drawContent makes a file's bytes: mostly few, and sometimes what others write too.
func drawContent(r *rand.Rand) []byte {
	size := 0
	switch k := r.IntN(20); {
	case k == 0:
	case k < 4:
		return fmt.Appendf(nil, "the same, %d", r.IntN(2))
	case k < 18:
		size = 1 + r.IntN(200)
	case k < 19 || r.IntN(3) > 0:
		size = maxInline + r.IntN(1<<14)
	default:
		size = 1<<16 + r.IntN(1<<17)
	}
	b := make([]byte, size)
	word := r.Uint64()
	for i := range b {
		if i%64 == 0 && r.IntN(4) > 0 {
			word = r.Uint64()
		}
		b[i] = byte(word >> (8 * (i % 8)))
	}
	return b
}

// seal seals versions whose bytes wait for it, and lets their events go.
func (r *replica) seal() {
	held, err := r.log.Held()
	r.w.must("held events", err)
	if len(held) > 3 {
		held = held[:3]
	}
	for _, h := range held {
		ops, err := tree.Decode(h.Event.Body)
		r.w.must("decode a held event", err)
		op := ops[0].(tree.SetContent)
		data, err := r.waiting(op.Version.ID)
		r.w.must("bytes of a held event", err)
		c, err := r.w.sealer.Write(context.Background(), r.blocks, bytes.NewReader(data), op.Version.Size)
		r.w.must("seal", err)
		r.w.must("sync blocks", r.blocks.Sync())
		op.Version.Pending, op.Version.Content = false, c
		_, err = r.log.Update(func(tx *eventlog.Tx) error {
			tx.DeleteLocal(pendingKey(op.Version.ID))
			return tx.Amend(h.Seq, tree.Encode(op), func(s eventlog.State) { tree.Sealed(s, op.Version) })
		})
		r.w.must("amend", err)
		r.w.tell("%s seals version %x: %v", r.name, op.Version.ID[:4], c.Root.CID)
	}
}

var errNoBytes = errors.New("its bytes are not here")

// waiting returns bytes that are not sealed yet.
func (r *replica) waiting(id tree.VersionID) (data []byte, err error) {
	var ok bool
	err = r.log.Local(func(s eventlog.Reader) { data, ok = s.Get(pendingKey(id)) })
	if err == nil && !ok {
		err = errNoBytes
	}
	return data, err
}

// read returns a version's bytes.
func (r *replica) read(id tree.VersionID) (data []byte, err error) {
	var v tree.Version
	var known bool
	err = r.log.View(func(s eventlog.Reader) {
		if v, known = tree.GetVersion(s, id); known && v.IsInline() {
			data, _ = tree.Body(s, v)
		}
	})
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, errors.New("no such version")
	case v.Pending:
		return r.waiting(id)
	case v.IsInline() || v.Size == 0:
		return data, nil
	}
	data, err = io.ReadAll(io.NewSectionReader(r.w.open(r, v), 0, v.Size))
	if err == nil && int64(len(data)) != v.Size {
		err = fmt.Errorf("%d bytes of %d", len(data), v.Size)
	}
	return data, err
}

// closes notes a version that a close ends, and its bytes.
func (r *replica) closes(v tree.Version, data []byte) {
	if v.Quiet {
		return
	}
	c := &closed{id: v.ID, by: r, sum: sha256.Sum256(data)}
	r.w.closed = append(r.w.closed, c)
	r.volatile = append(r.volatile, c)
}

// handed waits for what a system call waits for.
func (r *replica) handed(c store.Commit, err error) {
	r.w.must(r.name+" writes", err)
	r.w.must(r.name+" writes", c.Wait(store.Handed))
}
