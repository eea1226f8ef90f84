package eventlog

import "github.com/cockroachdb/pebble/v2/vfs"

// copyOut takes what CommittedFrames and Unplaced list, which is all that a backup has, to an empty log: it is the same then.
func (c *cluster) copyOut(from *replica) {
	v := newVolume(c.t, len(c.replicas))
	to := openReplica(c.t, vfs.NewMem(), v, 0, nil)
	defer to.st.Close()
	for some := Index(0); ; {
		// In parts, as backups do it one after the other. An entry is never in two of them.
		var part []Ordered
		err := from.CommittedFrames(some, func(i Index, h FrameHash) bool {
			if i > some+2 {
				return false
			}
			f, err := from.Frame(h)
			if err != nil {
				c.t.Fatal(err)
			}
			if n := len(part); n > 0 && part[n-1].Index == i {
				part[n-1].Frames = append(part[n-1].Frames, f.Raw)
			} else {
				part = append(part, Ordered{Index: i, Frames: [][]byte{f.Raw}})
			}
			return true
		})
		if err != nil {
			c.t.Fatal(err)
		}
		if err := to.CommitAll(part); err != nil {
			c.t.Fatal(err)
		}
		if end, _ := from.Committed(); some > end {
			break
		}
		some += 2
	}
	for _, h := range from.Unplaced() {
		f, err := from.Frame(h)
		if err != nil {
			c.t.Fatal(err)
		}
		to.receive(c.t, f)
	}
	if got, want := to.dump(), from.dump(); got != want {
		c.t.Fatalf("the copy has\n%s, the original has\n%s", got, want)
	}
	_, got := to.Committed()
	if _, want := from.Committed(); got != want {
		c.t.Fatalf("the copy's order hash is %x, the original's %x", got, want)
	}
	a, b := to.Stats(), from.Stats()
	if a.CommittedFrames != b.CommittedFrames || a.TentativeFrames != b.TentativeFrames || a.WaitingFrames != b.WaitingFrames {
		c.t.Fatalf("the copy has %+v, the original %+v", a, b)
	}
}
