package backup

import (
	"context"
	"errors"
	iofs "io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

// Mend is Write for a part that is damaged: it reads all of the part, and writes anew what is missing, cut or changed there, as far as the
// source has it or it can be read all the same. Until all of that is there and named by a new manifest, nothing is removed. Result.Faults says
// what was found.
//
// Log packs behind a damaged one are written anew, too: a frame comes after what it builds on. A manifest that is lost is made anew if the source
// has all frames that the packs show; else the error is ErrOther.
func Mend(ctx context.Context, fs vfs.FS, dir string, src Source, tell func(Progress)) (Result, error) {
	return explained(dir)(writePart(ctx, fs, dir, src, tell, &mending{}))
}

// A mending is what a run knows that mends.
type mending struct {
	part    *Backup // as it was found
	lost    bool    // its manifest is
	blocks  []pack  // block packs that are damaged
	logs    []pack  // log packs that are damaged, or come after one that is
	strange []Item  // frames that only those have
}

// renewFormat makes the file anew that says that dir is a backup, if there is a part in it that says so by itself.
func renewFormat(fs vfs.FS, dir, part string) error {
	if _, err := fs.Stat(fs.PathJoin(part, manifestFile)); err != nil {
		return ErrNotBackup
	}
	return store.WriteFile(fs, fs.PathJoin(dir, formatFile), []byte(formatText))
}

// begunAnew is the manifest of a part that has lost its own.
func (r *run) begunAnew(why error) (*manifest, error) {
	names, err := r.fs.List(r.dir)
	if err != nil {
		return nil, err
	}
	m := &manifest{Identity: r.src.Identity, Members: r.src.Members, Next: 1}
	var packs []pack
	for _, name := range names {
		if !isPack(name) {
			continue
		}
		info, err := r.fs.Stat(r.fs.PathJoin(r.dir, name))
		if err != nil {
			return nil, err
		}
		packs = append(packs, pack{Name: name, Size: info.Size()})
		n, err := strconv.ParseUint(name[:strings.IndexByte(name, '.')], 10, 63)
		if err != nil {
			return nil, err
		}
		m.Next = max(m.Next, n+1)
	}
	slices.SortFunc(packs, func(a, b pack) int { return strings.Compare(a.Name, b.Name) })
	r.mend.lost = true
	r.mend.part = &Backup{r.fs, r.dir, &manifest{Identity: r.src.Identity, Packs: packs}}
	r.fault(Fault{manifestFile, why.Error()})
	for _, p := range packs {
		r.mend.add(p)
	}
	return m, nil
}

func (r *run) fault(f Fault) { r.res.Faults = append(r.res.Faults, f) }

func (m *mending) add(p pack) {
	switch {
	case strings.HasSuffix(p.Name, logSuffix):
		m.logs = append(m.logs, p)
	case strings.HasSuffix(p.Name, blockSuffix):
		m.blocks = append(m.blocks, p)
	}
}

// examine reads the part, and leaves of the old manifest what is whole.
func (r *run) examine() error {
	if r.mend.lost {
		return nil // nothing is known to be whole
	}
	m := *r.old
	r.mend.part = &Backup{r.fs, r.dir, &m}
	faults, err := r.mend.part.Check(r.ctx, r.told)
	if err != nil {
		return err
	}
	bad := map[string]bool{}
	for _, f := range faults {
		r.fault(f)
		bad[f.File] = true
	}
	whole, inOrder := make([]pack, 0, len(m.Packs)), true
	for _, p := range m.Packs {
		base := p.Name[:strings.IndexByte(p.Name, '.')]
		switch isLog := strings.HasSuffix(p.Name, logSuffix); {
		case isLog && (bad[p.Name] || !inOrder):
			inOrder = false
			r.mend.add(p)
		case !isLog && (bad[base+blockSuffix] || bad[base+indexSuffix]):
			r.mend.add(p)
		default:
			whole = append(whole, p)
		}
	}
	next := m
	next.Packs = whole
	if r.old = &next; !inOrder {
		next.Volumes, err = (&Backup{r.fs, r.dir, r.old}).volumes(r.ctx)
	}
	return err
}

// volumes finds how far the volumes are in the log packs.
func (b *Backup) volumes(ctx context.Context) ([]volume, error) {
	var all []volume
	err := b.Items(ctx, func(f Fault) error { return errors.New(f.String()) }, func(i Item) error {
		at := slices.IndexFunc(all, func(v volume) bool { return v.ID == i.Volume })
		if at < 0 {
			at, all = len(all), append(all, volume{ID: i.Volume})
		}
		v := &all[at]
		if i.Index == 0 {
			v.Unplaced = append(v.Unplaced, i.Hash)
			return nil
		}
		v.Index, v.Last = i.Index, i.Hash
		if i.Frame == nil {
			v.Unplaced = slices.DeleteFunc(v.Unplaced, func(h eventlog.FrameHash) bool { return h == i.Hash })
		}
		return nil
	})
	return all, err
}

// salvage copies what is whole in packs that are damaged: blocks, and notes frames without a place that the source does not have.
func (r *run) salvage() error {
	ignore := func(Fault) error { return nil } // as was told
	for _, p := range r.mend.blocks {
		err := r.mend.part.blocks(r.ctx, p, ignore, func(b ipld.Block) error {
			if _, ok := r.have[nameOf(b.CID)]; ok {
				return nil
			}
			return r.putBlock(b)
		})
		if err != nil {
			return err
		}
	}
	for _, p := range r.mend.logs {
		err := r.mend.part.items(r.ctx, p, false, func(i Item) error {
			l := r.logOf(i.Volume)
			if l != nil {
				if knows, err := l.Knows(i.Hash); knows || err != nil {
					return err
				}
			}
			if l == nil || r.mend.lost {
				return ErrOther
			}
			// What has a place is in the store's order, as checkOrder saw.
			if v, _ := r.mend.part.m.volume(i.Volume); slices.Contains(v.Unplaced, i.Hash) {
				r.mend.strange = append(r.mend.strange, i)
			}
			return nil
		})
		if err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// copyAgain copies what is missing below what the packs have, and the frames that only the damaged ones had.
func (r *run) copyAgain() error {
	for _, l := range r.src.Logs {
		base, err := l.Base()
		if err == nil && base > 0 { // what frames need that are gone
			err = r.src.Contents(l, func(root ipld.CID) error { return r.copyContent(root, true) })
		}
		if err != nil {
			return err
		}
		var failed error
		err = l.CommittedFrames(base, func(_ eventlog.Index, h eventlog.FrameHash) bool {
			failed = r.copyNeeds(l, h)
			return failed == nil
		})
		if err := errors.Join(failed, err); err != nil {
			return err
		}
		for _, h := range l.Unplaced() {
			if err := r.copyNeeds(l, h); err != nil {
				return err
			}
		}
	}
	for _, i := range r.mend.strange {
		at := slices.IndexFunc(r.next.Volumes, func(v volume) bool { return v.ID == i.Volume })
		if v := &r.next.Volumes[at]; !slices.Contains(v.Unplaced, i.Hash) {
			if err := r.putItem(i); err != nil {
				return err
			}
			v.Unplaced = append(v.Unplaced, i.Hash)
		}
	}
	return nil
}

func (r *run) copyNeeds(l *eventlog.Log, h eventlog.FrameHash) error {
	f, err := l.Frame(h)
	if err != nil {
		return err
	}
	for _, root := range f.Needs {
		if err := r.copyContent(root, true); err != nil {
			return err
		}
	}
	return nil
}
