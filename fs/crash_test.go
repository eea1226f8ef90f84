package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// How the machine may die.
type death int

const (
	killed death = iota // the kernel lives: what was written is there
	power               // what was not synced is gone
	torn                // some of what was not synced is there
)

func (d death) String() string { return [...]string{"kill -9", "power loss", "torn power loss"}[d] }

// A crashFile is what a test knows of a file.
type crashFile struct {
	snaps  [][]byte // every state that programs saw
	floors []floor
	closed int // the last state that a version has
	node   NodeID
	open   bool
}

// From an op on, a death leaves this state or a later one.
type floor struct {
	op, snap int
	survives death // killed: not the loss of power
}

func (c *crashFile) now() []byte { return c.snaps[len(c.snaps)-1] }

func (c *crashFile) add(b []byte) { c.snaps = append(c.snaps, b) }

func (c *crashFile) floorAt(op int, d death) int {
	at := 0
	for _, f := range c.floors {
		if f.op <= op && (d == killed || f.survives != killed) {
			at = max(at, f.snap)
		}
	}
	return at
}

// allows reports whether a death that left the names as they were after op may leave b as the file's bytes.
func (c *crashFile) allows(b []byte, op int, d death) bool {
	may := c.snaps[c.floorAt(op, d):]
	if slices.ContainsFunc(may, func(s []byte) bool { return bytes.Equal(s, b) }) {
		return true
	}
	// An edit that goes on writes to its spill file in place: each byte is as it was at some moment.
	if len(may) == 1 || !slices.ContainsFunc(may, func(s []byte) bool { return len(s) > memLimit }) ||
		!slices.ContainsFunc(may, func(s []byte) bool { return len(s) == len(b) }) {
		return false
	}
	for i := range b {
		if !slices.ContainsFunc(may, func(s []byte) bool { return i < len(s) && s[i] == b[i] }) && !(d == torn && b[i] == 0) {
			return false
		}
	}
	return true
}

// A crashRun is a random history that ends in a death.
type crashRun struct {
	*rig
	rng     *rand.Rand
	names   map[string]*crashFile
	moments []map[string]*crashFile // the names after each op
	onDisk  int                     // the names are not older than this op's
	within  bool                    // the death came within the last op: what that promised counts not yet
	trace   []string
}

func (c *crashRun) did(format string, args ...any) {
	c.trace = append(c.trace, fmt.Sprintf("%d: ", len(c.moments))+fmt.Sprintf(format, args...))
}

// The seeds of a run; CRASH_SEED runs one alone.
func seeds(n uint64) []uint64 {
	if s, err := strconv.ParseUint(os.Getenv("CRASH_SEED"), 10, 64); err == nil {
		return []uint64{s}
	}
	var list []uint64
	for s := range n {
		list = append(list, s)
	}
	return list
}

func TestCrashes(t *testing.T) {
	n := uint64(24)
	if *faultSeconds > 0 {
		n = 300
	}
	for _, seed := range seeds(n) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			c := &crashRun{rig: rigOn(t, disk), rng: rand.New(rand.NewPCG(seed, 7)), names: map[string]*crashFile{}}
			c.must(c.fs.Fsync(c.vol))
			c.moments = append(c.moments, map[string]*crashFile{})
			for range 5 + c.rng.IntN(120) {
				c.step()
			}
			for _, d := range []death{killed, power, torn} {
				percent := []int{100, 0, c.rng.IntN(101)}[d]
				from := c.onDisk
				if d == killed {
					from = len(c.moments) - 1
				}
				c.survive(disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng}), d, from)
			}
			c.close()
		})
	}
}

// The last two are device-local.
var crashNames = [...]string{"f0", "f1", "f2", "f3", ".f4.swp", ".f5.swp"}

// step does one random thing.
func (c *crashRun) step() {
	name := crashNames[c.rng.IntN(len(crashNames))]
	f := c.names[name]
	op := len(c.moments) // the number of this one
	switch k := c.rng.IntN(20); {
	case f == nil && k < 16:
		c.did("create %s", name)
		f = &crashFile{snaps: [][]byte{{}}, open: true, node: c.create(c.vol, name)}
		c.names[name] = f
	case f == nil:
	case k < 6:
		c.edit(f, name)
	case k < 8:
		c.openClose(f, name, op)
	case k < 10 && f.open:
		c.did("fsync %s", name)
		c.must(c.fs.Fsync(f.node))
		f.floors = append(f.floors, floor{op, len(f.snaps) - 1, power})
		c.onDisk = op
	case k == 10:
		c.did("unlink %s", name)
		c.must(c.fs.Unlink(c.vol, name))
		c.letGo(f)
		delete(c.names, name)
	case k < 13:
		to := crashNames[c.rng.IntN(len(crashNames))]
		if to == name {
			break
		}
		c.did("rename %s %s", name, to)
		old := c.names[to]
		c.must(c.fs.Rename(c.vol, name, c.vol, to, 0))
		delete(c.names, name)
		c.names[to] = f
		if old != nil {
			c.letGo(old)
			f.closed = len(f.snaps) - 1
			f.floors = append(f.floors, floor{op, f.closed, power})
		}
	}
	also := c.rng.IntN(14)
	if also < 7 {
		c.did("%s", [...]string{"seal", "commit", "collect", "flush", "quiet", "retire", "checkpoint"}[also])
	}
	switch also {
	case 0:
		c.seal()
	case 1:
		c.commit()
	case 2:
		c.collect()
	case 3: // as the store does by itself
		c.must(c.fs.syncPending())
		c.must(c.st.Sync())
		c.must(c.fs.spills.reap())
		for _, f := range c.names {
			f.floors = append(f.floors, floor{op, f.closed, power})
		}
		c.onDisk = op
	case 4:
		c.quiet(100e9)
		for _, f := range c.names {
			c.versionMade(f, op)
		}
	case 5: // what was replaced is older than an hour
		c.clock.forward(2 * time.Hour)
		_, err := c.fs.Retire(time.Time{}, false, noPause)
		c.must(err)
		c.collect()
	case 6:
		c.checkpoint()
	}
	m := map[string]*crashFile{}
	for k, v := range c.names {
		m[k] = v
	}
	c.moments = append(c.moments, m)
}

func (c *crashRun) versionMade(f *crashFile, op int) {
	f.closed = len(f.snaps) - 1
	f.floors = append(f.floors, floor{op, f.closed, killed})
}

func (c *crashRun) letGo(f *crashFile) {
	if f.open {
		c.done(f.node)
	}
}

// edit writes to a file, or cuts it.
func (c *crashRun) edit(f *crashFile, name string) {
	if !f.open {
		return
	}
	b := slices.Clone(f.now())
	if c.rng.IntN(4) == 0 {
		size := int64(c.size())
		c.did("truncate %s from %d to %d", name, len(b), size)
		_, err := c.fs.SetAttr(f.node, Changes{Size: &size}, true)
		c.must(err)
		b = append(b, make([]byte, max(0, int(size)-len(b)))...)[:size]
	} else {
		off, data := c.rng.IntN(len(b)+1), pattern(1+c.rng.IntN(c.size()+1), byte(c.rng.Uint32())|1)
		if c.rng.IntN(3) > 0 {
			data = data[:min(len(data), 1000)]
		}
		c.did("write %s of %d at %d, %d", name, len(b), off, len(data))
		c.write(f.node, int64(off), data)
		b = append(b, make([]byte, max(0, off+len(data)-len(b)))...)
		copy(b[off:], data)
	}
	f.add(b)
}

func (c *crashRun) size() int {
	switch c.rng.IntN(4) {
	case 0:
		return c.rng.IntN(100)
	case 1:
		return c.rng.IntN(20_000)
	default:
		return c.rng.IntN(2 * memLimit)
	}
}

func (c *crashRun) openClose(f *crashFile, name string, op int) {
	c.did("open or close %s, open: %v", name, f.open)
	if f.open {
		c.done(f.node)
		f.open = false
		c.versionMade(f, op)
		return
	}
	for name, g := range c.names {
		if g == f {
			n, err := c.lookup(c.vol, name)
			c.must(err)
			f.node = n
		}
	}
	trunc := c.rng.IntN(3) == 0
	c.must(c.fs.Open(f.node, true, trunc))
	f.open = true
	if trunc {
		f.add([]byte{})
	}
}

// survive starts on what a death left, and checks it. The names may be those after op from, or later.
func (c *crashRun) survive(disk *vfs.MemFS, d death, from int) {
	c.Helper()
	r := &rig{tb: c.tb, disk: disk, keys: c.keys, clock: c.clock, boot: "two"}
	if d == killed {
		r.boot = c.boot
	}
	r.open()
	defer r.close()
	r.replays()
	got := map[string][]byte{}
	read := func() {
		r.Helper()
		clear(got)
		for _, name := range r.names(r.vol) {
			got[name] = r.get(r.vol, name)
		}
	}
	r.check()
	r.seal()
	r.settled()
	read()
	c.judge(got, d, from)
	r.check()
	r.collect()
	r.commit()
	r.collect()
	r.check()
	read()
	c.judge(got, d, from)
	r.reopen()
	read()
	c.judge(got, d, from)
}

// checkpoint keeps one of what is committed, and has the frames go that one of them stands in for.
func (c *crashRun) checkpoint() {
	c.Helper()
	v := c.volume()
	_, err := v.log.Keep(context.Background(), c.blocks, v.sealer, c.clock.now(), noPause)
	if !errors.Is(err, eventlog.ErrUnsettled) {
		c.must(err)
	}
	kept, err := v.log.Kept()
	c.must(err)
	if len(kept) == 0 || c.rng.IntN(2) == 0 {
		return
	}
	to := kept[c.rng.IntN(len(kept))].Index
	_, err = v.log.Shorten(to, c.blocks, false, noPause)
	c.must(err)
}

func (c *crashRun) judge(got map[string][]byte, d death, from int) {
	c.Helper()
	last := len(c.moments) - 1
	why := "no moment has these names"
	for op := last; op >= from; op-- {
		wrong := c.compare(got, op, d)
		if wrong == "" {
			return
		}
		if wrong != "names" {
			why = wrong
		}
	}
	var names []string
	for n := range got {
		names = append(names, n)
	}
	for _, line := range c.trace {
		c.Logf("%s", line)
	}
	c.Fatalf("after %v, ops %d to %d of %d: %s; names %v", d, from, last, len(c.moments), why, sorted(names))
}

func (c *crashRun) compare(got map[string][]byte, op int, d death) string {
	want := c.moments[op]
	if c.within && op == len(c.moments)-1 {
		op--
	}
	if len(got) != len(want) {
		return "names"
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			return "names"
		}
	}
	for name, f := range want {
		if b := got[name]; !f.allows(b, op, d) {
			at := f.floorAt(op, d)
			return fmt.Sprintf("op %d: %s has %d bytes, want state %d (%d bytes) or later, up to %d (%d bytes)",
				op, name, len(b), at, len(f.snaps[at]), len(f.snaps)-1, len(f.now()))
		}
	}
	return ""
}
