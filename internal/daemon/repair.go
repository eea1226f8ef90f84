package daemon

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rhizome-fs/rhizome/backup"
	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/report"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
	"github.com/rhizome-fs/rhizome/raftstore"
)

// maxRounds bounds how often what was mended is looked at again: a node that is there again shows which of its children are missing.
const maxRounds = 16

// repaired mends what v found, looks again, and tells both: what was found, with what became of it. Each step either happens as a whole or not
// at all, and may be repeated; what is replaced is kept beside it.
func (v *verifier) repaired(o VerifyOptions) (control.VerifyReport, error) {
	before, more := v.r.Findings()
	for _, f := range before {
		v.tables = v.tables || f.Kind == report.Table
	}
	did := report.New(v.ctx, nil)
	if err := v.mend(o, did); err != nil {
		return control.VerifyReport{}, fmt.Errorf("repair: %w", err)
	}
	again := newVerifier(v.ctx, v.home, v.fs, o.Deep, o.Progress, v.log)
	if err := again.atRest(); err != nil {
		return control.VerifyReport{}, fmt.Errorf("look again after the repair: %w", err)
	}
	a := again.answer()
	a.Repaired, a.Bytes = true, v.bytes+again.bytes
	left := map[[2]string]bool{}
	for _, f := range a.Findings {
		left[[2]string{f.Kind, string(f.Where)}] = true
	}
	was := []control.VerifyFinding{}
	for _, f := range before {
		if f.Note || left[[2]string{string(f.Kind), f.Where}] {
			continue
		}
		c := wire(f)
		c.Done = "mended"
		was = append(was, c)
	}
	steps, _ := did.Findings()
	for _, f := range steps {
		was = append(was, wire(f))
		a.Clean = a.Clean && (f.Note || f.Done != "")
	}
	a.Findings = append(was, a.Findings...)
	for k, n := range more {
		if again.r.Counts()[k] == 0 || a.More[string(k)] == 0 {
			v.log.Info("mended more than is listed", "kind", k, "count", n)
		}
	}
	return a, nil
}

// mend does what can be done, in the order in which one thing needs the other.
func (v *verifier) mend(o VerifyOptions, did *report.Report) (err error) {
	if err := store.MendFiles(v.fs, v.home, did); err != nil {
		return err
	}
	if v.tables {
		if err := store.Salvage(v.fs, v.home, did); err != nil {
			return err
		}
	}
	st, err := store.Open(v.home, store.Options{FS: v.fs, Age: eventlog.FactAge, Logger: v.log})
	if errors.Is(err, store.ErrDamaged) && !v.tables { // a table is missing, or the list of them is damaged
		if err := store.Salvage(v.fs, v.home, did); err != nil {
			return err
		}
		st, err = store.Open(v.home, store.Options{FS: v.fs, Age: eventlog.FactAge, Logger: v.log})
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := ipld.MendHeaders(v.fs, v.home, did); err != nil {
		return err
	}
	lost, err := st.Lost()
	if err != nil {
		return err
	}
	m := &mender{v: v, st: st, did: did, from: o.From, lost: lost, anew: len(lost) > 0}
	for range maxRounds {
		changed, err := m.round()
		if err != nil {
			return err
		}
		if changed == 0 {
			break
		}
	}
	if m.anew {
		if err := m.incarnate(); err != nil {
			return err
		}
	}
	if len(lost) > 0 {
		return st.ForgetLost()
	}
	return nil
}

// A mender works on an open store.
type mender struct {
	v     *verifier
	st    *store.Store
	did   *report.Report
	from  string
	aside bool             // the database as it was is kept
	lost  []store.KeyRange // what a salvage lost, until it is dealt with
	anew  bool             // frames of this device may be lost

	batch   *pebble.Batch
	records int
}

// round mends what can be mended now, and returns how much that was.
func (m *mender) round() (changed int, err error) {
	n, err := ipld.MendIndex(m.st, m.did)
	if err != nil {
		return n, err
	}
	blocks, err := ipld.OpenSegments(m.st, ipld.SegmentOptions{Logger: m.v.log})
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, blocks.Close()) }()
	look := newVerifier(m.v.ctx, m.v.home, m.v.fs, true, nil, m.v.log)
	look.st, look.blocks, look.db = m.st, blocks, m.st.DB()
	look.wanted, look.frames = map[ipld.CID]struct{}{}, map[eventlog.FrameHash]struct{}{}
	m.batch, m.records = m.st.DB().NewBatch(), 0
	look.fix, look.lost = m.fix, m.lost
	look.contents = ipld.NewContentCheck(blocks, true, look.r)
	look.contents.Wanted = look.wanted
	if err := errors.Join(look.segments(), look.identities()); err != nil {
		return n, errors.Join(err, m.batch.Close())
	}
	found, err := m.copies(look, blocks)
	if err != nil {
		return n, errors.Join(err, m.batch.Close())
	}
	m.lost, m.anew = nil, m.anew || look.anew
	if m.records > 0 {
		m.did.Did(report.State, "db", "made %d records anew from what they follow from", m.records)
	}
	if err := m.st.Commit(m.batch, store.OnDisk); err != nil {
		return n, err
	}
	if err := m.renewOrders(look.orders); err != nil {
		return n, err
	}
	return n + found + m.records + len(look.orders), blocks.Sync()
}

// renewOrders has orders go on behind what the logs have, if this device alone orders.
func (m *mender) renewOrders(lost []lostOrder) error {
	for _, o := range lost {
		if err := m.keepAside(); err != nil {
			return err
		}
		if err := raftstore.Renew(m.st, o.keys.ID(), serverID(o.keys), o.last); err != nil {
			return err
		}
		m.did.Did(report.Raft, o.keys.Name()+": order", "began it anew behind %d, up to which the logs have it", o.last)
	}
	return nil
}

// incarnate begins a new incarnation of each identity's feeds. Frames of the old one that are lost here may be elsewhere, and must not get
// rivals.
func (m *mender) incarnate() error {
	dir := m.st.Path(keyringDir)
	rings, err := identity.LoadKeyrings(m.st.FS(), dir)
	if err != nil {
		return err
	}
	for _, k := range rings {
		n, err := identity.NewIncarnation(rand.Reader)
		if err != nil {
			return err
		}
		k.SetIncarnation(n)
		if err := k.Save(m.st.FS(), dir); err != nil {
			return err
		}
		m.did.Did(report.Keyring, k.Name(), "began a new incarnation, since frames of the old one may be lost here")
	}
	return nil
}

// fix sets or removes a record. The database as it was is kept before the first.
func (m *mender) fix(key, val []byte) error {
	if err := m.keepAside(); err != nil {
		return err
	}
	m.records++
	if val == nil {
		return m.batch.Delete(key, nil)
	}
	return m.batch.Set(key, val, nil)
}

// keepAside keeps the database as it was, once.
func (m *mender) keepAside() error {
	if m.aside {
		return nil
	}
	path := m.st.Path("before-repair-" + time.Now().UTC().Format("20060102T150405.000000000"))
	if err := m.st.KeepAside(path); err != nil {
		return err
	}
	m.aside = true
	m.did.Did(report.Home, m.v.home, "kept the database as it was: %s", path)
	return nil
}

// copies takes blocks and frames from where the person said that there are some.
func (m *mender) copies(look *verifier, blocks *ipld.Segments) (found int, err error) {
	if m.from == "" {
		return 0, nil
	}
	err = ipld.FindBlocks(m.v.ctx, m.v.fs, m.from, look.wanted, func(b ipld.Block) error {
		found++
		m.did.Did(report.Block, "block "+ipld.Format(b.CID), "took it from %s", m.from)
		return blocks.PutAnew(b)
	})
	if err != nil || len(look.frames) == 0 {
		return found, err
	}
	n, err := m.framesFrom(look)
	return found + n, err
}

// framesFrom takes frames from a backup.
func (m *mender) framesFrom(look *verifier) (found int, err error) {
	quiet := func(backup.Fault) {}
	parts, err := backup.OpenAll(m.v.fs, m.from, quiet)
	if errors.Is(err, backup.ErrNotBackup) {
		return 0, nil
	}
	for _, b := range parts {
		err = errors.Join(err, b.Items(m.v.ctx, func(backup.Fault) error { return nil }, func(i backup.Item) error {
			l := eventlog.Look{Volume: i.Volume, Frames: look.frames}
			ok, err := l.PutFrame(i.Frame, m.fix)
			if ok {
				found++
				m.did.Did(report.Frame, fmt.Sprintf("frame %x", i.Hash[:8]), "took it from %s", m.from)
			}
			return err
		}))
	}
	return found, err
}

// mendMembers writes the beginning of an identity's membership log again, which its keyring has.
func (v *verifier) mendMembers(k *identity.Keyring) error {
	key := append(membersPrefix(k.ID()), 0, 0, 0, 0, 0, 0, 0, 1)
	is, closer, err := v.db.Get(key)
	if err != nil && !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	if err == nil {
		same := bytes.Equal(is, k.Genesis())
		if err := closer.Close(); err != nil || same {
			return err
		}
	}
	return v.fix(key, k.Genesis())
}
