package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/rhizome-fs/rhizome/backup"
	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/table"
)

// An origin is what a log goes on from whose first frames are gone: a kept checkpoint, and the history of what it has. A backup has it sealed
// under the volume's frame key.
type origin struct {
	_         struct{} `cbor:",toarray"`
	OrderHash [32]byte
	Frames    uint64
	Events    uint64
	Made      int64
	Era       uint32
	Until     int64
	Table     sealedTable
	History   sealedTable
}

// A sealedTable is a table.Root.
type sealedTable struct {
	_       struct{} `cbor:",toarray"`
	Link    ipld.Link
	Records uint64
	Bytes   uint64
}

func (t sealedTable) root() table.Root {
	return table.Root{Link: t.Link, Records: t.Records, Bytes: t.Bytes}
}

// originHeader is what the ciphertext authenticates, with the volume and the Index: no frame's header begins like this.
const originHeader = "rhizome backup origin 1"

func originAAD(v identity.VolumeID, i eventlog.Index) []byte {
	return dagcbor.Encode([]any{originHeader, v[:], uint64(i)})
}

// origin is backup.Source's Origin. The caller keeps logs from being shortened, and holds what is put.
func (i *ident) origin(ctx context.Context, l *eventlog.Log) (backup.Origin, error) {
	o, err := i.openVolume(l.Volume())
	if err != nil {
		return backup.Origin{}, err
	}
	k, err := i.keptNow(ctx, l, o.Sealer)
	if err != nil {
		return backup.Origin{}, err
	}
	history, err := l.History(ctx, k, i.d.blocks, o.Sealer, ctx.Err)
	if err != nil {
		return backup.Origin{}, err
	}
	sealed, err := i.sealOrigin(l.Volume(), k, history)
	if err != nil {
		return backup.Origin{}, err
	}
	return backup.Origin{
		Volume: l.Volume(), Index: k.Index, Roots: []ipld.CID{k.Table.Link.CID, history.Link.CID}, Sealed: sealed,
	}, nil
}

// keptNow returns the first checkpoint that is kept, can be read and has all that the log lacks; if there is none, one that is made now.
func (i *ident) keptNow(ctx context.Context, l *eventlog.Log, sealer *ipld.Sealer) (eventlog.Kept, error) {
	base, err := l.Base()
	if err != nil {
		return eventlog.Kept{}, err
	}
	all, err := l.Kept()
	if err != nil {
		return eventlog.Kept{}, err
	}
	for _, k := range all {
		if k.Index < base {
			continue
		}
		err := k.Read(i.d.blocks, ctx.Err)
		if err == nil || !errors.Is(err, ipld.ErrDamaged) && !errors.Is(err, ipld.ErrNotFound) {
			return k, err
		}
		i.d.log.Warn("a kept checkpoint can't be read", "volume", l.Volume(), "index", k.Index, "err", err)
	}
	return i.keep(ctx, l, sealer, time.Now(), ctx.Err)
}

const (
	// A checkpoint is kept when nothing is on its way. That moment comes soon, unless programs write without a pause.
	keepTries = 50
	keepAgain = 100 * time.Millisecond
)

// keep keeps a checkpoint of a log as soon as nothing is on its way. eventlog.ErrUnsettled: it did not come to that.
func (i *ident) keep(ctx context.Context, l *eventlog.Log, sealer *ipld.Sealer, made time.Time, pause func() error) (k eventlog.Kept, err error) {
	for range keepTries {
		k, err = l.Keep(ctx, i.d.blocks, sealer, made, pause)
		if !errors.Is(err, eventlog.ErrUnsettled) {
			return k, err
		}
		if !sleep(ctx, keepAgain) {
			return k, ctx.Err()
		}
	}
	return k, err
}

func (i *ident) sealOrigin(v identity.VolumeID, k eventlog.Kept, h table.Root) ([]byte, error) {
	plain := dagcbor.Encode(&origin{
		OrderHash: k.OrderHash, Frames: k.Frames, Events: k.Events, Made: k.Made.UnixNano(), Era: k.Until.Era, Until: k.Until.Time,
		Table:   sealedTable{Link: k.Table.Link, Records: k.Table.Records, Bytes: k.Table.Bytes},
		History: sealedTable{Link: h.Link, Records: h.Records, Bytes: h.Bytes},
	})
	keys := i.keys.VolumeKeys(v)
	s := sealedSettings{Epoch: keys.Epoch()}
	var err error
	s.Nonce, s.Cipher, err = keys.SealFrame(rand.Reader, s.Epoch, originAAD(v, k.Index), plain)
	return dagcbor.Encode(s), err
}

// openOrigin opens what sealOrigin has sealed.
func openOrigin(keys *identity.VolumeKeys, is backup.Origin) (k eventlog.Kept, history table.Root, err error) {
	var sealed sealedSettings
	var o origin
	err = dagcbor.Decode(is.Sealed, &sealed)
	var plain []byte
	if err == nil {
		plain, err = keys.OpenFrame(sealed.Epoch, sealed.Nonce, originAAD(is.Volume, is.Index), sealed.Cipher)
	}
	if err == nil {
		err = dagcbor.Decode(plain, &o)
	}
	if err != nil {
		return k, history, fmt.Errorf("checkpoint of volume %v at %d: %w", is.Volume, is.Index, err)
	}
	return eventlog.Kept{
		Checkpoint: eventlog.Checkpoint{
			Index: is.Index, OrderHash: o.OrderHash, Frames: o.Frames, Events: o.Events, Table: o.Table.root(),
		},
		Made: time.Unix(0, o.Made), Until: eventlog.Moment{Era: o.Era, Time: o.Until},
	}, o.History.root(), nil
}
