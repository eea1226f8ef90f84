package export

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/snapshot"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A SealedSource is what is exported sealed: a part of one volume, as it was at a moment.
type SealedSource struct {
	Log    *eventlog.Log
	Moment eventlog.Moment // nothing that is pending then may be pending still
	Path   []string        // below the volume's root
	Blocks ipld.Store
	Sealer *ipld.Sealer
}

// ErrVolumes says that a directory has volumes in it, which are no part of the one that is exported.
var ErrVolumes = errors.New("a sealed export is of one volume, and there are others in it")

// SealedResult says what a sealed export holds.
type SealedResult struct {
	Link  ipld.Link // of the root: who has it reads all, and nobody else anything
	Files uint64    // names, at all depths
	Bytes uint64    // of contents
	Lost  int       // blocks that are not here any more, or damaged
}

// Sealed writes a snapshot (see package snapshot) of what the source names to file, as a CARv1 file of sealed blocks: depth first,
// parents first, each once. The same tree gives the same file: of which state of the log it is is not in it. built is told how many names the
// snapshot has so far; then wrote is told of each piece that was written, and of about how many bytes in all.
func Sealed(ctx context.Context, src SealedSource, file string, built func(names uint64), wrote func(n, total int64)) (res SealedResult, err error) {
	err = writeFile(file, 0o600, func(out io.Writer, scratch *os.File) error {
		st := &overlay{base: src.Blocks, file: scratch, at: map[ipld.CID]extent{}}
		if err := src.build(ctx, st, &res, built); err != nil {
			return err
		}
		total := st.size + int64(res.Bytes)
		return writeDAG(ctx, out, st, &res, func(n int64) { wrote(n, total) })
	})
	return res, err
}

// build makes the snapshot's own blocks.
func (src SealedSource) build(ctx context.Context, st ipld.Store, res *SealedResult, told func(names uint64)) error {
	var failed error
	err := src.Log.At(src.Moment, func(r eventlog.Reader) {
		root, ok := find(r, src.Path)
		if !ok {
			failed = fmt.Errorf("find %q: %w", src.Path, fs.ErrNotExist)
			return
		}
		if names := grafts(r, root); len(names) > 0 {
			failed = fmt.Errorf("%w: %s", ErrVolumes, strings.Join(names, ", "))
			return
		}
		var built snapshot.Built
		built, failed = snapshot.Build(ctx, snapshot.Target{Store: st, Sealer: src.Sealer}, r,
			snapshot.Info{Volume: src.Log.Volume(), Reducer: tree.New().Name(), Tentative: true}, snapshot.Options{Root: root, Progress: told})
		res.Link, res.Files, res.Bytes = built.Root, built.Files, built.Bytes
	})
	return errors.Join(failed, err)
}

// grafts are the names of the volumes in a volume's directory: they stand in the home volume's root.
func grafts(r eventlog.Reader, dir tree.FileID) (names []string) {
	if dir != tree.RootID {
		return nil
	}
	tree.ReadDir(r, dir, 0, func(_ uint64, name []byte, d tree.Dirent) bool {
		if d.Kind == tree.Graft {
			names = append(names, string(name))
		}
		return true
	})
	return names
}

// find leads from a volume's root to what names bear.
func find(r eventlog.Reader, path []string) (tree.FileID, bool) {
	at := tree.RootID
	for _, name := range path {
		d, ok := tree.Lookup(r, at, []byte(name))
		if !ok {
			return at, false
		}
		at = tree.Canon(r, d.ID)
	}
	return at, true
}

// writeDAG writes the blocks below the root. Those of contents that are lost are left out.
func writeDAG(ctx context.Context, out io.Writer, st ipld.Store, res *SealedResult, wrote func(int64)) error {
	buffered := bufio.NewWriterSize(out, 1<<20)
	car, err := ipld.NewCARWriter(buffered, res.Link.CID)
	if err != nil {
		return err
	}
	w := &dagWriter{ctx: ctx, st: st, car: car, seen: map[ipld.CID]struct{}{}, wrote: wrote}
	if err := w.write(res.Link.CID); err != nil {
		return err
	}
	res.Lost = w.lost
	return buffered.Flush()
}

// A dagWriter walks a DAG and writes its blocks.
type dagWriter struct {
	ctx   context.Context
	st    ipld.Store
	car   *ipld.CARWriter
	seen  map[ipld.CID]struct{}
	wrote func(int64)
	lost  int
}

func (w *dagWriter) write(root ipld.CID) error {
	for stack := []ipld.CID{root}; len(stack) > 0; {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if _, ok := w.seen[c]; ok {
			continue
		}
		w.seen[c] = struct{}{}
		b, err := w.st.Get(c)
		if errors.Is(err, ipld.ErrNotFound) || errors.Is(err, ipld.ErrDamaged) {
			w.lost++
			continue
		}
		if err != nil {
			return err
		}
		if err := w.car.Put(b); err != nil {
			return err
		}
		w.wrote(int64(len(b.Data)))
		children, err := ipld.Children(b)
		if err != nil {
			return err
		}
		for i := len(children) - 1; i >= 0; i-- {
			stack = append(stack, children[i])
		}
	}
	return nil
}

// An overlay is a store whose new blocks are in a temporary file.
type overlay struct {
	base ipld.Store
	file *os.File
	size int64
	at   map[ipld.CID]extent
}

type extent struct {
	off int64
	len int
}

// Get implements ipld.Store.
func (o *overlay) Get(c ipld.CID) (ipld.Block, error) {
	e, ok := o.at[c]
	if !ok {
		return o.base.Get(c)
	}
	b := ipld.Block{CID: c, Data: make([]byte, e.len)}
	if _, err := o.file.ReadAt(b.Data, e.off); err != nil {
		return ipld.Block{}, err
	}
	return b, b.Verify()
}

// Put implements ipld.Store. What the base has, too, is kept: a collection might take it away there.
func (o *overlay) Put(blocks ...ipld.Block) error {
	for _, b := range blocks {
		if _, ok := o.at[b.CID]; ok {
			continue
		}
		if _, err := o.file.WriteAt(b.Data, o.size); err != nil {
			return err
		}
		o.at[b.CID] = extent{o.size, len(b.Data)}
		o.size += int64(len(b.Data))
	}
	return nil
}

// Has implements ipld.Store.
func (o *overlay) Has(c ipld.CID) (bool, error) {
	_, ok := o.at[c]
	return ok, nil
}
