//go:build linux

package mount

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// memberOf answers whether who made a request is in a group, or is root. The kernel tells the first group of a caller only; the
// others are read from /proc, for the few questions that need them. Of a caller that can't be seen there it is not known.
func memberOf(h *fuse.InHeader) func(gid uint32) bool {
	uid, first, thread := h.Uid, h.Gid, h.Pid
	return func(gid uint32) bool {
		if uid == 0 || gid == first {
			return true
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
		if err != nil {
			return false
		}
		for line := range strings.Lines(string(status)) {
			groups, ok := strings.CutPrefix(line, "Groups:")
			if !ok {
				continue
			}
			for word := range strings.FieldsSeq(groups) {
				if n, err := strconv.ParseUint(word, 10, 32); err == nil && uint32(n) == gid {
					return true
				}
			}
		}
		return false
	}
}
