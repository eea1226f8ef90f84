package daemon

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
)

// followEvery is how often a follower looks for more.
const followEvery = 200 * time.Millisecond

// A source is one volume whose log is told.
type source struct {
	id    identity.VolumeID
	label control.Name
	log   *eventlog.Log
}

// history tells what happened: oldest first, over several volumes by time.
func (d *daemon) history(ctx context.Context, q control.LogRequest, out *control.Stream[control.LogEntry]) error {
	sources, err := d.sources(q.Volume)
	if err != nil {
		return err
	}
	tellers := map[identity.VolumeID]*teller{}
	if q.Follow {
		for _, s := range sources {
			tellers[s.id] = newTeller(ctx, s)
		}
	}
	var all []control.LogEntry
	for _, s := range sources {
		list, err := d.past(ctx, s, tellers[s.id], q.Last)
		if err != nil {
			return err
		}
		all = append(all, list...)
	}
	if len(sources) > 1 {
		slices.SortStableFunc(all, func(a, b control.LogEntry) int { return a.Time.Compare(b.Time) })
	}
	if q.Last > 0 && len(all) > q.Last {
		all = all[len(all)-q.Last:]
	}
	marks, err := d.newMassMarker()
	if err != nil {
		return err
	}
	for _, e := range all {
		marks.mark(&e)
		if err := errors.Join(ctx.Err(), out.Send(e)); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil || !q.Follow {
		return err
	}
	return d.follow(ctx, q, tellers, marks, out)
}

// sources are the volumes that are asked for, of all also those that were removed.
func (d *daemon) sources(only control.VolumeID) ([]*source, error) {
	vols, err := d.fs.Volumes()
	if err != nil {
		return nil, err
	}
	former, err := d.fs.FormerVolumes()
	if err != nil {
		return nil, err
	}
	var list []*source
	for _, v := range append(vols, former...) {
		if only != "" && only != control.VolumeID(v.ID.String()) {
			continue
		}
		if i, err := d.named(v.Identity); err == nil {
			if l, ok := i.log(v.ID); ok {
				list = append(list, &source{id: v.ID, label: label(v.Identity, v.Name), log: l})
			}
		}
	}
	if only != "" && len(list) == 0 {
		return nil, control.Fail(control.NotFound, fmt.Errorf("there is no volume %s", only), "see: rhizome status")
	}
	return list, nil
}

// past tells the last entries of a volume, as many as it comes to before ctx is done. What a teller is to tell is left to it.
func (d *daemon) past(ctx context.Context, s *source, t *teller, last int) ([]control.LogEntry, error) {
	var list []control.LogEntry
	if last <= 0 {
		return d.whole(ctx, s, t)
	}
	err := s.log.EntriesBefore(eventlog.LastPosition(), func(e eventlog.Entry) bool {
		if t != nil && !t.knows(e) {
			return ctx.Err() == nil
		}
		ops := d.describe(s, e)
		slices.Reverse(ops)
		list = append(list, ops...)
		return len(list) < last && ctx.Err() == nil
	})
	slices.Reverse(list)
	return list, err
}

// whole tells all entries of a volume, and where a checkpoint stands in for some.
func (d *daemon) whole(ctx context.Context, s *source, t *teller) (list []control.LogEntry, err error) {
	since, err := logSince(s.log)
	if err != nil {
		return nil, err
	}
	base, err := s.log.Base()
	if err != nil {
		return nil, err
	}
	gap := func() {
		if since != nil {
			list = append(list, control.LogEntry{Time: *since, Who: "-", What: "compacted", Path: s.label, Volume: control.VolumeID(s.id.String())})
		}
		since = nil
	}
	err = s.log.Entries(eventlog.Position{}, func(e eventlog.Entry) bool {
		if e.Position.Stage != eventlog.StageCommitted || e.Position.Index > base {
			gap()
		}
		if t == nil || t.knows(e) {
			list = append(list, d.describe(s, e)...)
		}
		return ctx.Err() == nil
	})
	gap()
	return list, err
}

// follow tells what is new until the client goes. An event is told once: when it has its place in a frame.
func (d *daemon) follow(ctx context.Context, q control.LogRequest, tellers map[identity.VolumeID]*teller, marks *massMarker, out *control.Stream[control.LogEntry]) error {
	for sleep(ctx, followEvery) {
		if q.Volume == "" {
			more, err := d.sources("")
			if err != nil {
				return err
			}
			for _, s := range more {
				if tellers[s.id] == nil {
					tellers[s.id] = &teller{source: s, told: map[told]bool{}}
				}
			}
		}
		var err error
		if marks.list, err = d.massDeletions(time.Time{}); err != nil {
			return err
		}
		for _, t := range tellers {
			err := t.more(func(e eventlog.Entry) error {
				for _, le := range d.describe(t.source, e) {
					marks.mark(&le)
					if err := out.Send(le); err != nil {
						return err
					}
				}
				return ctx.Err()
			})
			if err != nil {
				return err
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// told names an event, wherever it stands in the order.
type told struct {
	feed eventlog.FeedID
	seq  eventlog.Seq
}

// A teller remembers what a follower has seen of one volume.
type teller struct {
	*source
	committed eventlog.Position // all up to it were told
	told      map[told]bool     // behind it
}

// newTeller begins behind everything there is now.
func newTeller(ctx context.Context, s *source) *teller {
	t := &teller{source: s, told: map[told]bool{}}
	_ = t.more(func(eventlog.Entry) error { return ctx.Err() }) // an error comes again at the next look
	return t
}

// knows reports whether e was there when the teller began, or was told since.
func (t *teller) knows(e eventlog.Entry) bool {
	return e.Position.Stage == eventlog.StageCommitted && e.Position.Compare(t.committed) <= 0 ||
		t.told[told{e.Author.Feed, e.Seq}]
}

// more calls fn for the framed events that were not told yet.
func (t *teller) more(fn func(eventlog.Entry) error) error {
	var failed error
	err := t.log.Entries(t.committed, func(e eventlog.Entry) bool {
		if e.Position.Stage == eventlog.StageUnframed {
			return false
		}
		key := told{e.Author.Feed, e.Seq}
		seen := t.told[key]
		if e.Position.Stage == eventlog.StageCommitted {
			t.committed = e.Position
			delete(t.told, key)
		} else {
			t.told[key] = true
		}
		if !seen {
			failed = fn(e)
		}
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

// describe tells an event's operations for people.
func (d *daemon) describe(s *source, e eventlog.Entry) []control.LogEntry {
	base := control.LogEntry{
		Time: time.Unix(0, e.Event.Time).UTC(), Device: e.Author.Device.String(), Who: d.who(e.Author.Device),
		Volume: control.VolumeID(s.id.String()), Feed: hex.EncodeToString(e.Author.Feed[:]), Seq: uint64(e.Seq),
		Tentative: e.Position.Stage != eventlog.StageCommitted,
	}
	if !base.Tentative {
		base.Index = uint64(e.Position.Index)
	}
	ops, err := tree.Decode(e.Event.Body)
	if err != nil {
		base.What = "unknown"
		return []control.LogEntry{base}
	}
	var list []control.LogEntry
	for _, op := range ops {
		le := base
		d.describeOp(s, op, &le)
		list = append(list, le)
	}
	return list
}

// who is a device as a person knows it.
func (d *daemon) who(dev identity.DeviceID) string {
	for _, i := range d.all() {
		if i.keys.Device() == dev {
			return deviceName()
		}
	}
	return dev.String()[:20]
}

func (d *daemon) describeOp(s *source, op tree.Op, le *control.LogEntry) {
	at := func(dir tree.FileID, name []byte) control.Name { return d.pathAt(s, dir, name) }
	of := func(file tree.FileID) control.Name {
		p, _ := d.fs.PathOf(s.id, file)
		return join(s.label, p)
	}
	switch op := op.(type) {
	case tree.Begin:
		le.What, le.Path = "begin", s.label
	case tree.Create:
		le.What, le.Path = createWord(op.Kind), at(op.Parent, op.Name)
		if op.Version != nil {
			le.Bytes = &op.Version.Size
		}
		le.To = control.Name(op.Target)
	case tree.Link:
		le.What, le.Path, le.To = "link", of(op.ID), at(op.Parent, op.Name)
	case tree.Unlink:
		le.What, le.Path = "remove", at(op.Parent, op.Name)
	case tree.Rename:
		if op.From == op.To && string(op.OldName) == string(op.NewName) { // only what has lost its name gets the same one
			le.What, le.Path = "restore", at(op.To, op.NewName)
			break
		}
		le.What, le.Path, le.To = "rename", at(op.From, op.OldName), at(op.To, op.NewName)
	case tree.Exchange:
		le.What, le.Path, le.To = "exchange", at(op.DirA, op.NameA), at(op.DirB, op.NameB)
	case tree.Save:
		le.What, le.Path = "edit", at(op.Dir, op.Name)
	case tree.SetContent:
		le.What, le.Path, le.Bytes = "edit", of(op.ID), &op.Version.Size
	case tree.SetAttr:
		le.What, le.Path = attrWord(op.Set), of(op.ID)
	case tree.SetXattr:
		le.What, le.Path = "xattr", of(op.ID)
	case tree.Merge:
		le.What, le.Path = "merge", of(op.ID)
	}
}

func createWord(k tree.Kind) string {
	switch k {
	case tree.Dir:
		return "mkdir"
	case tree.Symlink:
		return "symlink"
	case tree.Graft:
		return "volume"
	}
	return "create"
}

func attrWord(f tree.Fields) string {
	switch {
	case f&tree.FieldMode != 0:
		return "chmod"
	case f&(tree.FieldUID|tree.FieldGID) != 0:
		return "chown"
	}
	return "touch"
}

// pathAt names an entry of a directory as the directory is called now.
func (d *daemon) pathAt(s *source, dir tree.FileID, name []byte) control.Name {
	p, _ := d.fs.PathOf(s.id, dir)
	if p == "" {
		return join(s.label, string(name))
	}
	var b bytes.Buffer
	b.WriteString(p)
	b.WriteByte('/')
	b.Write(name)
	return join(s.label, b.String())
}

func join(label control.Name, path string) control.Name {
	if path == "" {
		return label
	}
	return label + "/" + control.Name(path)
}
