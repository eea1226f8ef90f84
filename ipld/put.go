package ipld

// batchBytes is how much is sealed before it is put.
const batchBytes = 1 << 20

// A scratch is memory that a Sealer's writers use one after the other.
type scratch struct {
	window []byte
	arena  []byte // the sealed bytes of the leaves in batch
	batch  []Block
	bytes  int
}

func (s *Sealer) getScratch() *scratch {
	c, _ := s.scratch.Get().(*scratch)
	if c == nil {
		c = &scratch{}
	}
	c.arena, c.batch, c.bytes = c.arena[:0], c.batch[:0], 0
	return c
}

// putLeaf seals a leaf; it reaches the store with its batch.
func (w *writer) putLeaf(plain []byte) (Link, error) {
	need := len(plain) + 64
	if len(w.arena)+need > cap(w.arena) {
		if err := w.flush(); err != nil {
			return Link{}, err
		}
		if need > cap(w.arena) {
			w.arena = make([]byte, 0, arenaSize(need, w.size))
		}
	}
	b, link := w.s.appendLeaf(w.arena, plain)
	w.arena = w.arena[:min(cap(w.arena), len(w.arena)+len(b.Data))]
	return link, w.put(b)
}

// arenaSize leaves a small file with a small arena.
func arenaSize(need int, size int64) int {
	return max(need, int(min(size+size/64+64, batchBytes+MaxChunk)))
}

// putNode seals a node; it reaches the store behind its children.
func (w *writer) putNode(plain []byte, children []CID) (Link, error) {
	b, link := w.s.SealNode(plain, children)
	return link, w.put(b)
}

func (w *writer) put(b Block) error {
	w.batch = append(w.batch, b)
	w.bytes += len(b.Data)
	if w.bytes < batchBytes {
		return nil
	}
	return w.flush()
}

func (w *writer) flush() error {
	if len(w.batch) == 0 {
		return nil
	}
	err := w.st.Put(w.batch...)
	clear(w.batch)
	w.arena, w.batch, w.bytes = w.arena[:0], w.batch[:0], 0
	return err
}
