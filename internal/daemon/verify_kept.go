package daemon

import (
	"errors"
	"fmt"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/internal/report"
	"github.com/rhizome-fs/rhizome/ipld"
)

// checkpoints checks the blocks of the checkpoints that a log keeps in the place of frames.
func (v *verifier) checkpoints(look eventlog.Look) error {
	if v.blocks == nil {
		return nil
	}
	seen := map[ipld.CID]bool{}
	for _, k := range look.Kept() {
		found := v.r.Damaged()
		where := fmt.Sprintf("%s: checkpoint at %d", look.Name, k.Index)
		for stack := []ipld.CID{k.Table.Link.CID}; len(stack) > 0; {
			c := stack[len(stack)-1]
			if stack = stack[:len(stack)-1]; seen[c] {
				continue
			}
			seen[c] = true
			v.r.Checked(report.Link, 1)
			b, err := v.blocks.Get(c)
			var children []ipld.CID
			if err == nil {
				children, err = ipld.Children(b)
			}
			if errors.Is(err, ipld.ErrDamaged) || errors.Is(err, ipld.ErrNotFound) {
				v.r.Bad(report.Link, where, report.Copy, "block %v: %v", c, err)
				if v.wanted != nil {
					v.wanted[c] = struct{}{}
				}
			} else if err != nil {
				return err
			}
			stack = append(stack, children...)
			if err := v.r.Read(int64(len(b.Data))); err != nil {
				return err
			}
		}
		if !v.deep || look.Keys == nil || v.r.Damaged() > found {
			continue
		}
		err := k.Read(v.blocks, func() error { return v.r.Read(0) })
		if errors.Is(err, ipld.ErrDamaged) || errors.Is(err, ipld.ErrNotFound) {
			v.r.Bad(report.Link, where, report.Nothing, "%v", err)
		} else if err != nil {
			return err
		}
	}
	return nil
}
