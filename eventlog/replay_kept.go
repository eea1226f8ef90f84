package eventlog

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rhizome-fs/rhizome/internal/report"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/ipld/table"
)

// begin brings the state of the first kept checkpoint that can be read to scratch, if there are no frames for what is before it.
func (p *replay) begin() error {
	base, err := baseIn(p.DB, p.ks)
	if err != nil {
		return &cannotReplay{"the record of its base can't be read"}
	}
	if base == 0 {
		return nil
	}
	why := fmt.Sprintf("frames up to place %d are not kept any more, and no checkpoint", base)
	for _, k := range p.Kept() {
		if k.Index < base || p.Blocks == nil {
			continue
		}
		err := p.load(k)
		if !errors.Is(err, ipld.ErrDamaged) && !errors.Is(err, ipld.ErrNotFound) {
			return err
		}
		why = fmt.Sprintf("the checkpoint at place %d can't be read: %v", k.Index, err)
		if err := p.scratch.DeleteRange([]byte{kindState}, []byte{kindState + 1}, pebble.NoSync); err != nil {
			return err
		}
	}
	return &cannotReplay{why}
}

// load writes a checkpoint's state to scratch, and compares its places and what it says of frames with the database's.
func (p *replay) load(k Kept) error {
	b := p.scratch.NewBatch()
	defer func() { b.Close() }()
	var n uint64
	err := table.Each(p.Blocks, k.Table.Link, func(key, val []byte) error {
		n++
		if err := p.Report.Read(int64(len(key) + len(val))); err != nil || len(key) == 0 {
			return err
		}
		switch key[0] {
		case kindCommitted, kindMeta:
			return p.same(key, val)
		case kindState:
			b.Set(key, val, nil)
		}
		if b.Len() < restoreBytes {
			return nil
		}
		err := b.Commit(pebble.NoSync)
		b = p.scratch.NewBatch()
		return err
	})
	if err == nil && n != k.Table.Records {
		err = fmt.Errorf("%d records, want %d: %w", n, k.Table.Records, ipld.ErrDamaged)
	}
	if err != nil {
		return err
	}
	p.from = k.Checkpoint
	return b.Commit(pebble.NoSync)
}

// same tells of a record of a committed frame that is not what a checkpoint has: no frame says it any more.
func (p *replay) same(key, want []byte) error {
	full := append(p.ks.prefix, key...)
	is, ok, err := dbGet(p.DB, full)
	if err != nil || ok && bytes.Equal(is, want) {
		return err
	}
	p.Report.Bad(report.Order, fmt.Sprintf("%s: %q %x", p.Name, key[:1], key[1:]), report.Rebuild, "it is not what the kept checkpoint has")
	if p.Fix == nil {
		return nil
	}
	return p.Fix(full, bytes.Clone(want))
}
