package ipld

import (
	"fmt"
	"io"
)

// maxWindow bounds how much of a file is in memory while it is cut: it fits a core's cache.
const maxWindow = 1 << 20

// A cutter cuts chunks out of the bytes of r before end. Chunks are asked for in ascending order.
type cutter struct {
	chunker *chunker
	r       io.ReaderAt
	end     int64

	window *[]byte // reused from cutter to cutter
	from   int64   // where the window's bytes lie in r
	have   int     // how many there are
	ahead  int     // how much is read at once; it grows while reading is sequential
}

// at returns the chunk that begins at off. It is valid until the next call.
func (c *cutter) at(off int64) ([]byte, error) {
	rest := c.end - off
	skip := off - c.from
	if need := min(rest, MaxChunk); skip < 0 || skip+need > int64(c.have) {
		if err := c.fill(off); err != nil {
			return nil, err
		}
		skip = 0
	}
	b := (*c.window)[skip:c.have]
	return b[:c.chunker.cut(b)], nil
}

// fill makes the window begin at off, and keeps what it has already.
func (c *cutter) fill(off int64) error {
	kept := 0
	if skip := off - c.from; c.have > 0 && skip >= 0 && skip < int64(c.have) {
		kept = copy(*c.window, (*c.window)[skip:c.have])
		c.ahead = min(2*c.ahead, maxWindow)
	} else {
		c.ahead = MaxChunk
	}
	want := int(min(c.end-off, int64(max(c.ahead, MaxChunk))))
	if len(*c.window) < want {
		grown := make([]byte, want)
		copy(grown, (*c.window)[:kept])
		*c.window = grown
	}
	c.from, c.have = off, want
	n, err := c.r.ReadAt((*c.window)[kept:want], off+int64(kept))
	if n < want-kept {
		c.have = 0
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read %d bytes at %d: %w", want-kept, off+int64(kept), err)
	}
	return nil
}
