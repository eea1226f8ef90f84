package tests

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dataCalls are the words that are about bytes.
func dataCalls() map[string]agentCall {
	modes := map[string]uint32{
		"keep": unix.FALLOC_FL_KEEP_SIZE, "punch": unix.FALLOC_FL_PUNCH_HOLE, "zero": unix.FALLOC_FL_ZERO_RANGE,
		"collapse": unix.FALLOC_FL_COLLAPSE_RANGE, "insert": unix.FALLOC_FL_INSERT_RANGE,
	}
	return map[string]agentCall{
		"falloc": {4, func(a *agent, s []string) (string, error) { // FD MODES OFF LEN
			mode := uint32(0)
			for w := range strings.SplitSeq(s[1], ",") {
				mode |= modes[w]
			}
			return done(unix.Fallocate(a.fd(s[0]), mode, int64(number(s[2])), int64(number(s[3]))))
		}},
		"seek": {3, func(a *agent, s []string) (string, error) { // FD data|hole|end|... OFF
			whence := map[string]int{"data": unix.SEEK_DATA, "hole": unix.SEEK_HOLE, "set": unix.SEEK_SET, "end": unix.SEEK_END}[s[1]]
			n, err := unix.Seek(a.fd(s[0]), int64(number(s[2])), whence)
			return fmt.Sprint(n), err
		}},
		"copy": {5, func(a *agent, s []string) (string, error) { // FROM OFF TO OFF LEN
			off, at := int64(number(s[1])), int64(number(s[3]))
			n, err := unix.CopyFileRange(a.fd(s[0]), &off, a.fd(s[2]), &at, number(s[4]), 0)
			return fmt.Sprint(n, " to ", at), err
		}},
		"fill": {4, func(a *agent, s []string) (string, error) { // FD WORD LEN OFF
			b := bytes.Repeat([]byte(s[1]), number(s[2])/len(s[1])+1)[:number(s[2])]
			n, err := unix.Pwrite(a.fd(s[0]), b, int64(number(s[3])))
			return strconv.Itoa(n), err
		}},
		"append": {2, func(a *agent, s []string) (string, error) {
			n, err := unix.Write(a.fd(s[0]), []byte(s[1]))
			return strconv.Itoa(n), err
		}},
		"sum": {3, func(a *agent, s []string) (string, error) { // FD LEN OFF: what the bytes are
			b := make([]byte, number(s[1]))
			n, err := unix.Pread(a.fd(s[0]), b, int64(number(s[2])))
			return fmt.Sprintf("%d bytes %08x", n, crc32.ChecksumIEEE(b[:max(n, 0)])), err
		}},
		"sparse": {1, func(a *agent, s []string) (string, error) { // whether it takes less room than its size
			st, err := a.stat(s[0], 0)
			return fmt.Sprint(st.Blocks*512 < st.Size), err
		}},
	}
}
