package fs

import (
	"github.com/rhizome-fs/rhizome/fs/tree"
)

// copyAtOnce bounds how many bytes one call of Copy moves while it holds both files.
const copyAtOnce = 8 << 20

// Copy copies n bytes from one file to another that is open for writing, or within one, and returns how many it did: fewer
// than n at the end of the source, or where a caller does well to ask again. What stands in the block store, or waits for it
// in a spill file, is not copied but referred to if it comes to the same offset in a file that has nothing else below its
// edit; so is a whole file, however large. Else bytes are copied, and holes stay holes.
func (f *FS) Copy(from NodeID, off int64, to NodeID, at, n int64) (int64, error) {
	dst, err := f.nodeOf(to)
	if err != nil {
		return 0, err
	}
	if off < 0 || at < 0 || n < 0 || off+n < off || at+n < at {
		return 0, ErrInvalid
	}
	if dst.vol == nil {
		return 0, ErrIsDir
	}
	if from.IsPast() {
		return f.copyPast(from, off, dst, at, n)
	}
	src, err := f.nodeOf(from)
	if err != nil {
		return 0, err
	}
	if src.vol == nil {
		return 0, ErrIsDir
	}
	unlock := lockNodes(src, dst)
	defer unlock()
	r, err := src.rangeLocked(off, n)
	if err != nil || r.n == 0 {
		return 0, f.damaged(src, err)
	}
	return f.copyLocked(r, dst, at)
}

// copyPast is Copy from a file of the past.
func (f *FS) copyPast(from NodeID, off int64, dst *Node, at, n int64) (int64, error) {
	r, err := f.past.source(from, off, n)
	if err != nil || r.n == 0 {
		return 0, err
	}
	dst.mu.Lock()
	defer dst.mu.Unlock()
	return f.copyLocked(r, dst, at)
}

// copyLocked copies r to dst. The caller holds dst.mu, and that of what r is of.
func (f *FS) copyLocked(r source, dst *Node, at int64) (int64, error) {
	ino, err := dst.inodeLocked()
	if err != nil {
		return 0, err
	}
	if ino.Kind != tree.File {
		return 0, ErrInvalid
	}
	done := int64(0)
	err = dst.changeLocked(ino, func(b *buffer) error {
		if r.off == at && r.shareable(dst) {
			if ok, err := b.refer(r); ok || err != nil {
				done = r.n
				return err
			}
		}
		r.n = min(r.n, copyAtOnce)
		if err := f.space.check(r.n); err != nil {
			return err
		}
		done, err = b.copyFrom(r, at)
		if done > 0 {
			return nil // the next call meets the error again
		}
		return err
	})
	if err != nil {
		return 0, f.damaged(dst, err)
	}
	return done, nil
}

// A source is a range of a file's bytes.
type source struct {
	content
	vol    *Volume
	local  bool
	off, n int64
	ver    tree.VersionID // what content is the bytes of; zero: of an edit that goes on
	holes  int64          // bytes of content in holes
}

// rangeLocked is what there is of [off, off+n) of a file. The caller holds n.mu.
func (n *Node) rangeLocked(off, count int64) (source, error) {
	s := source{vol: n.vol, local: n.local, off: off}
	ino, err := n.inodeLocked()
	if err != nil {
		return s, err
	}
	if n.buf != nil {
		s.content = n.buf
	} else {
		if s.content, err = n.contentLocked(ino); err != nil || s.content == nil {
			return s, err
		}
		if n.orphan == nil {
			s.ver = ino.Heads[0].ID
			m := n.metaLocked()
			s.holes = m.holesIn(s.ver)
		}
	}
	s.n = max(0, min(count, s.Size()-off))
	return s, nil
}

// shareable reports whether an edit of dst may stand on the bytes as they are: on blocks under the secret of one identity, or
// on a spill file whose record the same volume keeps.
func (s *source) shareable(dst *Node) bool {
	if s.ver == (tree.VersionID{}) || s.local != dst.local || s.vol.home != dst.vol.home || s.Size() <= memLimit {
		return false
	}
	return s.vol == dst.vol || sealedForm(s.content) != nil
}

// refer makes the range of a version that r is the range of the edit, by reference. It reports false if the edit stands on
// something else already.
func (b *buffer) refer(r source) (bool, error) {
	if err := b.load(memLimit + 1); err != nil {
		return false, err
	}
	end := r.off + r.n
	if r.off == 0 && b.size <= end { // all of it is replaced
		b.have, b.held, b.holes, b.base, b.below = nil, 0, nil, nil, 0
	}
	switch {
	case b.below > 0 && b.baseVer != r.ver:
		return false, nil
	case b.below == 0:
		b.base, b.baseVer, b.baseHoles = r.content, r.ver, r.holes
		if p, ok := r.content.(*pending); ok {
			p.below.Store(true)
		}
	}
	if end > b.below { // what lies between shows nothing of the base
		b.have.runs(b.below, end-b.below, func(off, n int64, in bool) error {
			if !in {
				b.holes.add(off, n)
			}
			return nil
		})
		b.below = end
	}
	b.held -= b.have.remove(r.off, r.n)
	b.holes.remove(r.off, r.n)
	b.unsynced.remove(r.off, r.n)
	b.shrunk = true // an fsync must write a whole record
	b.size = max(b.size, end)
	return true, nil
}

// copyFrom copies r to at, data by data, and returns how many bytes it did.
func (b *buffer) copyFrom(r source, at int64) (done int64, err error) {
	buf := make([]byte, min(r.n, 1<<20))
	for done < r.n {
		end, data, err := r.extent(r.off + done)
		if err != nil {
			return done, err
		}
		n := min(end-r.off, r.n) - done
		if !data {
			if err := b.truncate(max(b.size, at+done+n)); err != nil {
				return done, err
			}
			if err := b.zero(at+done, n); err != nil {
				return done, err
			}
			done += n
			continue
		}
		part := buf[:min(n, int64(len(buf)))]
		if err := readFull(r, part, r.off+done); err != nil {
			return done, err
		}
		if _, err := b.WriteAt(part, at+done); err != nil {
			return done, err
		}
		done += int64(len(part))
	}
	return done, nil
}
