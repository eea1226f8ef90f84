package tests

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

var errTorn = errors.New("neither a whole old version nor a whole new one")

// A saver saves one file over and over, as editors do: it writes a new file and renames it over the old one. Whoever
// looks sees a whole version, and no older one than was acknowledged before.
type saver struct {
	dir   string
	rand  *rand.Rand
	saved int          // acknowledged
	acked atomic.Int64 // saved, for watch
	seen  error        // what watch did not like
}

func newSaver(t testing.TB, dir string, rand *rand.Rand) *saver {
	s := &saver{dir: dir, rand: rand}
	write(t, s.doc(), s.version(0))
	return s
}

func (s *saver) doc() string { return filepath.Join(s.dir, "doc.txt") }

// version makes a text that says in every line which one it is, and at its end that it is whole.
func (s *saver) version(n int) []byte {
	lines := []int{10, 100, 1000, 30000}[n%4] // the last is larger than what is kept in memory
	line := fmt.Appendf(nil, "version %9d\n", n)
	return append(bytes.Repeat(line, lines), "end\n"...)
}

// versionOf is which version a text is.
func (s *saver) versionOf(b []byte) (int, error) {
	var n int
	if _, err := fmt.Sscanf(string(b[:min(len(b), 18)]), "version %d", &n); err != nil || !bytes.Equal(b, s.version(n)) {
		return 0, fmt.Errorf("%s, %d bytes that begin with %q: %w", s.doc(), len(b), b[:min(len(b), 20)], errTorn)
	}
	return n, nil
}

// work saves until the daemon is gone.
func (s *saver) work(stop <-chan struct{}) {
	for n := s.saved + 1; s.save(n) == nil; n++ {
		s.saved = n
		s.acked.Store(int64(n))
		select {
		case <-stop:
			return
		default:
		}
	}
}

func (s *saver) save(n int) error {
	tmp := filepath.Join(s.dir, fmt.Sprintf("doc.txt.%d", n))
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(s.version(n))
	if s.rand.IntN(3) == 0 {
		err = errors.Join(err, f.Sync())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return unix.Rename(tmp, s.doc())
}

// watch reads the file until the daemon is gone.
func (s *saver) watch(stop <-chan struct{}) {
	for s.seen == nil {
		select {
		case <-stop:
			return
		default:
		}
		least := int(s.acked.Load())
		b, err := os.ReadFile(s.doc())
		if err != nil {
			return
		}
		n, err := s.versionOf(b)
		if err == nil && n < least {
			err = fmt.Errorf("%s shows version %d, and %d was there before", s.doc(), n, least)
		}
		s.seen = err
	}
}

// check looks at the file after a restart.
func (s *saver) check() error {
	if s.seen != nil {
		return s.seen
	}
	b, err := os.ReadFile(s.doc())
	if err != nil {
		return err
	}
	n, err := s.versionOf(b)
	if err == nil && n != s.saved && n != s.saved+1 {
		err = fmt.Errorf("%s is version %d, and %d was acknowledged", s.doc(), n, s.saved)
	}
	s.saved = n
	s.acked.Store(int64(n))
	return err
}
