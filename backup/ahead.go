package backup

import "io"

// aheadBytes is how much is read at once.
const aheadBytes = 4 << 20

// An ahead reads a file in large pieces for one who goes through it in order in small ones.
type ahead struct {
	r   io.ReaderAt
	buf []byte
	off int64
}

func newAhead(r io.ReaderAt, size int64) *ahead {
	return &ahead{r: r, buf: make([]byte, 0, min(size, aheadBytes))}
}

// ReadAt implements io.ReaderAt, for one goroutine.
func (a *ahead) ReadAt(b []byte, off int64) (int, error) {
	if off < a.off || off+int64(len(b)) > a.off+int64(len(a.buf)) {
		if len(b) > cap(a.buf) {
			return a.r.ReadAt(b, off)
		}
		n, err := a.r.ReadAt(a.buf[:cap(a.buf)], off)
		a.buf, a.off = a.buf[:n], off
		if n < len(b) {
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return copy(b, a.buf), err
		}
	}
	return copy(b, a.buf[off-a.off:]), nil
}
