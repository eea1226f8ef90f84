package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/table"
	"github.com/rhizome-fs/rhizome/raftstore"
)

// A checkpointEntry is an entry of the order that tells of a checkpoint: from it a device can go on that has nothing before. docs/FORMATS.md
// says what each field is.
type checkpointEntry struct {
	_         struct{} `cbor:",toarray"`
	Kind      string   // checkpointKind
	Version   uint64
	Body      []byte // a checkpointBody
	Device    identity.DeviceID
	Signature [64]byte // of checkpointPrefix and the body
}

const (
	checkpointKind    = "checkpoint"
	checkpointVersion = 1
)

// checkpointPrefix is what no other signed message begins with.
var checkpointPrefix = []byte("rhizome checkpoint 1\x00")

// A checkpointBody is the checkpoints of an identity's volumes, ascending.
type checkpointBody struct {
	_       struct{} `cbor:",toarray"`
	Volumes []volumeCheckpoint
}

type volumeCheckpoint struct {
	_         struct{} `cbor:",toarray"`
	Volume    identity.VolumeID
	Index     eventlog.Index
	OrderHash [32]byte
	Frames    uint64
	Events    uint64
	Records   uint64
	Bytes     uint64
	Root      ipld.CID
	Epoch     uint32
	Nonce     [identity.NonceSize]byte
	Key       []byte // the root's, sealed with the volume's key of the epoch; the header is the root's CID
}

// parseCheckpoint reads an entry of the order, if it is one that tells of a checkpoint.
func parseCheckpoint(data []byte) (checkpointEntry, checkpointBody, bool) {
	var e checkpointEntry
	var b checkpointBody
	ok := dagcbor.Decode(data, &e) == nil && e.Kind == checkpointKind && e.Version == checkpointVersion &&
		dagcbor.Decode(e.Body, &b) == nil
	return e, b, ok
}

// signed reports whether a member says it.
func (e *checkpointEntry) signed(m *identity.Membership) bool {
	return m.Allows(e.Device) && identity.Verify(e.Device, append(slices.Clone(checkpointPrefix), e.Body...), e.Signature)
}

// A stand is an identity's volumes between two entries of the order.
type stand struct {
	i        *ident
	prefixes map[identity.VolumeID]*eventlog.Prefix
	release  func() // what was put becomes garbage, unless something refers to it
}

// checkpoint is raftstore's Options.Checkpoint.
func (i *ident) checkpoint() (raftstore.Checkpoint, error) {
	s := &stand{i: i, prefixes: map[identity.VolumeID]*eventlog.Prefix{}, release: i.d.blocks.Hold()}
	for _, l := range i.allLogs() {
		p, err := l.Prefix()
		if err != nil {
			s.Release()
			return nil, err
		}
		s.prefixes[l.Volume()] = p
	}
	return s, nil
}

// Release implements raftstore.Checkpoint.
func (s *stand) Release() {
	for _, p := range s.prefixes {
		p.Close()
	}
	s.release()
}

// Write implements raftstore.Checkpoint.
func (s *stand) Write() ([]byte, error) {
	i := s.i
	i.memo.Lock()
	defer i.memo.Unlock()
	memos := i.memo.of
	i.memo.of = nil // until the checkpoint is recorded nobody keeps what they know of
	if memos == nil {
		memos = map[identity.VolumeID]*table.Memo{}
	}
	ctx := i.d.group.ctx
	pace := i.d.tidier.newPacer(ctx, checkpointRests)
	vols := make([]identity.VolumeID, 0, len(s.prefixes))
	for v := range s.prefixes {
		vols = append(vols, v)
	}
	slices.SortFunc(vols, func(a, b identity.VolumeID) int { return bytes.Compare(a[:], b[:]) })
	var body checkpointBody
	var anew time.Duration
	for _, v := range vols {
		if memos[v] == nil {
			memos[v] = &table.Memo{}
		}
		vc, took, err := s.volume(ctx, v, memos[v], pace.rest)
		if err != nil {
			return nil, err
		}
		anew += took
		if vc.Index > 0 {
			body.Volumes = append(body.Volumes, vc)
		}
	}
	start := time.Now()
	if err := i.d.blocks.Sync(); err != nil {
		return nil, err
	}
	anew += time.Since(start)
	e := checkpointEntry{Kind: checkpointKind, Version: checkpointVersion, Body: dagcbor.Encode(&body), Device: i.keys.Device()}
	e.Signature = i.keys.Sign(append(slices.Clone(checkpointPrefix), e.Body...))
	if err := pace.rest(); err != nil {
		return nil, err
	}
	i.memo.next, i.memo.worked, i.memo.anew = memos, pace.worked, anew
	return dagcbor.Encode(&e), nil
}

// volume makes one volume's checkpoint, and says how long sealing and storing what is new in it took.
func (s *stand) volume(ctx context.Context, v identity.VolumeID, memo *table.Memo, pause func() error) (vc volumeCheckpoint, anew time.Duration, err error) {
	o, err := s.i.openVolume(v)
	if err != nil {
		return vc, 0, err
	}
	c, added, err := s.prefixes[v].Checkpoint(ctx, s.i.d.blocks, o.Sealer, memo, pause)
	if err != nil {
		return vc, 0, err
	}
	keys := s.i.keys.VolumeKeys(v)
	root := c.Table.Link
	nonce, sealed, err := keys.SealFrame(rand.Reader, keys.Epoch(), root.CID[:], root.Key[:])
	if err != nil {
		return vc, 0, err
	}
	return volumeCheckpoint{
		Volume: v, Index: c.Index, OrderHash: c.OrderHash, Frames: c.Frames, Events: c.Events,
		Records: c.Table.Records, Bytes: c.Table.Bytes, Root: root.CID, Epoch: keys.Epoch(), Nonce: nonce, Key: sealed,
	}, added.Took, nil
}

// newest returns the last checkpoint that this device made of an identity; none: no volumes.
func (i *ident) newest() (checkpointBody, error) {
	_, data, err := i.seq.Newest()
	if err != nil || len(data) == 0 {
		return checkpointBody{}, err
	}
	_, b, ok := parseCheckpoint(data)
	if !ok {
		return checkpointBody{}, fmt.Errorf("checkpoint of %s: %w", i.keys.Name(), fs.ErrDamaged)
	}
	return b, nil
}

// keepCheckpoints yields the roots of the newest checkpoints, and of those that logs keep in the place of frames.
func (d *daemon) keepCheckpoints(yield func(ipld.CID) error) error {
	for _, i := range d.all() {
		b, err := i.newest()
		if err != nil {
			return err
		}
		for _, v := range b.Volumes {
			if err := yield(v.Root); err != nil {
				return err
			}
		}
		for _, l := range i.allLogs() {
			kept, err := l.Kept()
			if err != nil {
				return err
			}
			for _, k := range kept {
				if err := yield(k.Table.Link.CID); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// compare looks at a checkpoint that somebody made and that is committed now: whoever has committed the same has the same state.
func (i *ident) compare(idx eventlog.Index, e checkpointEntry, theirs checkpointBody) {
	if !e.signed(i.members) {
		i.d.log.Warn("checkpoint in the order is passed over: no member has signed it", "index", idx)
		return
	}
	mine, err := i.newest()
	if err != nil {
		i.d.log.Warn("checkpoint in the order is not compared", "index", idx, "err", err)
		return
	}
	for _, t := range theirs.Volumes {
		for _, m := range mine.Volumes {
			if t.Volume == m.Volume && t.Index == m.Index && (t.OrderHash != m.OrderHash || t.Root != m.Root) {
				i.d.log.Error("two devices have made different states of the same order", "volume", t.Volume, "index", t.Index, "device", e.Device)
				i.d.st.Report(partOrder, errDisagree)
			}
		}
	}
}

// partOrder is what the store calls the trouble of an order.
const partOrder = "order"

var errDisagree = errors.New("two devices have made different states of the same order")
