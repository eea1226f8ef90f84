package fs

import (
	"context"
	"fmt"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/ipld"
)

// Collect drops blocks that nothing reaches: no version that the state or a before-image keeps, no edit that
// goes on, no open file, no snapshot. It returns how many bytes that freed.
func (f *FS) Collect(ctx context.Context) (int64, error) {
	return f.collect(ctx, f.blocks.Collect)
}

// CollectHard is Collect for a disk that is nearly full: what it gives back may be little for its work.
func (f *FS) CollectHard(ctx context.Context) (int64, error) {
	return f.collect(ctx, f.blocks.CollectHard)
}

func (f *FS) collect(ctx context.Context, with func(context.Context, func(func(ipld.CID) error) error) (int64, error)) (int64, error) {
	freed, err := with(ctx, f.reachable)
	if err != nil {
		return freed, fmt.Errorf("collect garbage: %w", err)
	}
	return freed, nil
}

// Garbage returns how many bytes of blocks Collect would find to be reached by nothing.
func (f *FS) Garbage(ctx context.Context) (int64, error) {
	dead, err := f.blocks.Garbage(ctx, f.reachable)
	if err != nil {
		return 0, fmt.Errorf("collect garbage: %w", err)
	}
	return dead, nil
}

// reachable calls yield for every block that must stay.
func (f *FS) reachable(yield func(ipld.CID) error) error {
	root := func(c ipld.Content) error { return yield(c.Root.CID) }
	open := func() error {
		for _, c := range f.openContents() {
			if err := root(*c); err != nil {
				return err
			}
		}
		return nil
	}
	// These twice, too: an edit that ends meanwhile takes what it stands on to the state.
	if err := open(); err != nil {
		return err
	}
	if f.keep != nil {
		if err := f.keep(yield); err != nil {
			return err
		}
	}
	for _, v := range f.allVolumes() {
		// What expires from here on stays this time: until it did, somebody may have made a version of the same bytes.
		gone, err := v.expired()
		if err != nil {
			return err
		}
		all := func(ver tree.Version) error { return root(ver.Content) }
		if err := v.view(true, func(r eventlog.Reader) error { return tree.Reachable(r, all) }); err != nil {
			return err
		}
		// The state twice: a rebase may meanwhile take a version from the state to the before-images, or back.
		if err := v.reachable(gone, root); err != nil {
			return err
		}
		if err := v.log.BeforeImages(func(key, val []byte) error { return tree.ReachableRecord(key, val, all) }); err != nil {
			return err
		}
		if err := v.reachable(gone, root); err != nil {
			return err
		}
		// Last, so that of a snapshot whose moment is still to come the state has all that is neither young nor marked by now.
		if err := v.madeAndMaking(gone, yield); err != nil {
			return err
		}
	}
	return open()
}

// reachable walks the shared state's versions as they are at one moment, and keeps nobody waiting.
func (v *Volume) reachable(gone map[tree.VersionID]bool, fn func(ipld.Content) error) error {
	var err error
	if e := v.log.Snapshot(func(r eventlog.Reader) { err = v.keptContent(r, gone, fn) }); e != nil {
		return e
	}
	return err
}

// openContents lists the sealed contents that open files and edits stand on.
func (f *FS) openContents() []*ipld.Content {
	var list []*ipld.Content
	add := func(c content) {
		for c != nil {
			if s := sealedForm(c); s != nil {
				list = append(list, s)
			}
			p, ok := c.(*pending)
			if !ok {
				return
			}
			p.mu.RLock()
			c = p.bytes.base
			p.mu.RUnlock()
		}
	}
	for _, n := range f.table.all() {
		n.mu.Lock()
		if h := n.handles.Load(); h != nil {
			add(h.shown)
		}
		if n.buf != nil {
			add(n.buf.base)
		}
		if n.orphan != nil {
			add(n.orphan.bytes)
		}
		n.mu.Unlock()
	}
	for _, c := range f.past.openContents() {
		add(c)
	}
	for _, v := range f.allVolumes() {
		v.mu.Lock()
		for _, p := range v.pending {
			add(p)
		}
		v.mu.Unlock()
	}
	return list
}
