package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/report"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A manner keeps a check from being in the way of programs: it rests as long as it has worked, and reads no more than a disk
// has left beside them.
type manner struct {
	ctx   context.Context
	since time.Time // it has worked since then
	bytes int64     // that were read since then
}

const (
	workAtOnce  = 5 * time.Millisecond
	bytesPerSec = 64 << 20
)

// pace is called with each piece of work.
func (m *manner) pace(bytes int64) error {
	m.bytes += bytes
	worked := time.Since(m.since)
	if worked < workAtOnce && m.bytes < bytesPerSec/100 {
		return nil
	}
	rest := max(worked, time.Duration(float64(m.bytes)/bytesPerSec*float64(time.Second))-worked)
	if !sleep(m.ctx, min(rest, time.Second)) {
		return m.ctx.Err()
	}
	m.since, m.bytes = time.Now(), 0
	return nil
}

// sayEvery is how often the one who asked is told how far the work is.
const sayEvery = 200 * time.Millisecond

// verify checks the store that the daemon serves, as it is at one moment; what is being written, as far as it is written by then.
func (d *daemon) verify(ctx context.Context, q control.VerifyRequest, out *control.Stream[control.VerifyStep]) error {
	var said time.Time
	polite := manner{ctx: ctx, since: time.Now()}
	v := newVerifier(ctx, d.opts.Home, d.st.FS(), q.Deep, nil, d.log)
	total := v.size()
	v.r = report.New(ctx, func(bytes int64) error {
		v.bytes += bytes
		if now := time.Now(); now.Sub(said) > sayEvery {
			said = now
			step := control.VerifyStep{Done: v.bytes, Total: max(total, v.bytes)}
			if err := errors.Join(out.Send(step), out.Flush()); err != nil {
				return err
			}
		}
		return polite.pace(bytes)
	})
	v.mounted, v.st, v.blocks = true, d.st, d.blocks
	if err := d.blocks.Sync(); err != nil { // what was appended gets its mark
		return err
	}
	err := d.blocks.WithoutCollection(ctx, func() error {
		snap := d.st.DB().NewSnapshot()
		defer d.st.CloseSnapshot(snap)
		v.db = snap
		v.contents = ipld.NewContentCheck(v.blocks, v.deep, v.r)
		if err := errors.Join(d.st.VerifyOpen(v.r), d.fs.VerifyUnsealed(v.r)); err != nil {
			return err
		}
		if err := v.segments(); err != nil {
			return err
		}
		return v.identities()
	})
	if err != nil {
		return err
	}
	a := v.answer()
	return errors.Join(out.Send(control.VerifyStep{Report: &a}), out.Flush())
}
