package fs

// SeekData returns where the next data begins at or behind off; SeekHole where the next hole does, the end of the file
// being one. Data is what may be other than zeros: a hole may be found to be data, but never data a hole.
// Both fail with ErrNoData at and behind the end, and SeekData if only a hole follows.
func (f *FS) SeekData(id NodeID, off int64) (int64, error) { return f.seek(id, off, true) }

// SeekHole: see SeekData.
func (f *FS) SeekHole(id NodeID, off int64) (int64, error) { return f.seek(id, off, false) }

func (f *FS) seek(id NodeID, off int64, data bool) (int64, error) {
	if id.IsPast() {
		return f.past.seek(id, off, data)
	}
	n, err := f.nodeOf(id)
	if err != nil {
		return 0, err
	}
	if n.vol == nil {
		return 0, ErrIsDir
	}
	n.mu.Lock()
	if n.buf != nil {
		defer n.mu.Unlock()
		at, err := seekIn(n.buf.extent, n.buf.size, off, data)
		return at, f.damaged(n, err)
	}
	ino, err := n.inodeLocked()
	if err != nil {
		n.mu.Unlock()
		return 0, err
	}
	c, err := n.contentLocked(ino)
	n.mu.Unlock() // content does not change
	if err != nil {
		return 0, f.damaged(n, err)
	}
	at, err := seekContent(c, off, data)
	return at, f.damaged(n, err)
}

func seekContent(c content, off int64, data bool) (int64, error) {
	if c == nil {
		return 0, ErrNoData
	}
	return seekIn(c.extent, c.Size(), off, data)
}

func seekIn(extent func(int64) (int64, bool, error), size, off int64, data bool) (int64, error) {
	if off < 0 || off >= size {
		return 0, ErrNoData
	}
	for off < size {
		end, isData, err := extent(off)
		if err != nil {
			return 0, err
		}
		if isData == data {
			return off, nil
		}
		off = end
	}
	if data {
		return 0, ErrNoData
	}
	return size, nil
}
