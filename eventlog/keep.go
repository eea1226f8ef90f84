package eventlog

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/table"
)

// A Kept is a checkpoint whose blocks this device keeps, since it has let go of the frames before it, or means to: see Shorten.
type Kept struct {
	Checkpoint
	Made  time.Time // by this device's clock
	Until Moment    // history up to it tells of what the checkpoint has, and later history of what came after
}

// A keptRecord is a Kept as it stands behind its Index.
type keptRecord struct {
	_         struct{} `cbor:",toarray"`
	Version   uint64   // keptVersion
	Made      int64
	Era       uint32
	Until     int64
	OrderHash [32]byte
	Frames    uint64
	Events    uint64
	Records   uint64
	Bytes     uint64
	Root      ipld.Link
}

const keptVersion = 1

func (k *Kept) record() *keptRecord {
	return &keptRecord{
		Version: keptVersion, Made: k.Made.UnixNano(), Era: k.Until.Era, Until: k.Until.Time, OrderHash: k.OrderHash,
		Frames: k.Frames, Events: k.Events, Records: k.Table.Records, Bytes: k.Table.Bytes, Root: k.Table.Link,
	}
}

func decodeKept(key, val []byte) (Kept, error) {
	var r keptRecord
	err := dagcbor.Decode(val, &r)
	if err == nil && r.Version != keptVersion {
		err = ErrVersion
	}
	if len(key) < 8 {
		err = errShort
	}
	if err != nil {
		return Kept{}, fmt.Errorf("kept checkpoint %x: %w", key, err)
	}
	return Kept{
		Checkpoint: Checkpoint{
			Index: Index(binary.BigEndian.Uint64(key[len(key)-8:])), OrderHash: r.OrderHash, Frames: r.Frames, Events: r.Events,
			Table: table.Root{Link: r.Root, Records: r.Records, Bytes: r.Bytes},
		},
		Made: time.Unix(0, r.Made), Until: Moment{r.Era, r.Until},
	}, nil
}

// A BlockStore is a block store on a disk: see ipld.Segments.
type BlockStore interface {
	ipld.Store
	Sync() error
	Hold() (release func())
}

// Keep makes a checkpoint and notes that its blocks are kept: whoever collects garbage asks Kept. pause is called between parts of the
// work, without a lock; its error ends it. ErrUnsettled while an event is not committed, since what is shown is then not what a checkpoint has, or nothing is.
func (l *Log) Keep(ctx context.Context, to BlockStore, sealer *ipld.Sealer, made time.Time, pause func() error) (Kept, error) {
	p, err := l.Prefix()
	if err != nil {
		return Kept{}, err
	}
	defer p.Close()
	if p.next > p.marks.First || p.marks.Index == 0 {
		return Kept{}, fmt.Errorf("keep a checkpoint of volume %v: %w", l.volume, ErrUnsettled)
	}
	defer to.Hold()() // until the record says that they are needed
	k := Kept{Made: made, Until: p.moment}
	if k.Checkpoint, _, err = p.Checkpoint(ctx, to, sealer, nil, pause); err != nil {
		return Kept{}, err
	}
	err = to.Sync()
	if err == nil {
		b := l.db().NewBatch()
		put(b, l.ks.kept(k.Index), k.record())
		err = l.store.Commit(b, store.Handed)
	}
	if err != nil {
		return Kept{}, fmt.Errorf("keep a checkpoint of volume %v: %w", l.volume, err)
	}
	return k, nil
}

// Kept returns the checkpoints that are kept here, by their Index.
func (l *Log) Kept() ([]Kept, error) {
	ks, err := keptIn(l.db(), l.ks)
	if err != nil {
		return nil, fmt.Errorf("kept checkpoints of volume %v: %w", l.volume, err)
	}
	return ks, nil
}

func keptIn(db pebble.Reader, ks keyspace) (all []Kept, err error) {
	prefix := ks.kind(kindKept)
	err = scanRange(db, prefix, after(prefix), func(key, val []byte) error {
		k, err := decodeKept(key, val)
		all = append(all, k)
		return err
	})
	return all, err
}

// Base returns the last Index of which the log has no frames any more: they went with Shorten, or it began with a checkpoint there. 0: none did.
func (l *Log) Base() (Index, error) { return baseIn(l.db(), l.ks) }

func baseIn(db pebble.Reader, ks keyspace) (i Index, err error) {
	rec, ok, err := dbGet(db, ks.kind(kindBase))
	if err == nil && ok {
		err = dagcbor.DecodeTrusted(rec, &i)
	}
	return i, err
}
