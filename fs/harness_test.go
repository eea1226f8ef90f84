package fs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/report"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

const (
	testUID, testGID = 1000, 1000
	start            = int64(1_790_000_000_000_000_000)
)

var me = Cred{UID: testUID, GID: testGID}

// A clock stands still unless it is told to go on, but for a microsecond whenever it is asked.
type clock struct {
	mu sync.Mutex
	at int64
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at += 1000
	return time.Unix(0, c.at)
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at += int64(d)
}

// tb is what rapid's T and testing's have in common.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// A rig is an FS with one identity on a disk in memory. Nothing runs in the background unless a test starts it.
type rig struct {
	tb
	disk   vfs.FS
	dir    string // of the store; empty: "home"
	boot   string // of the machine: "one", but after a loss of power
	keys   *identity.Keyring
	other  identity.DeviceID // whose frames are taken too
	clock  *clock
	st     *store.Store
	blocks *ipld.Segments
	fs     *FS
	home   NodeID // the identity's directory
	vol    NodeID // of the app volume "notes"

	mu     sync.Mutex
	logs   map[identity.VolumeID]fsOpened
	index  eventlog.Index
	framed int64 // bytes of frames
}

type fsOpened = Opened

func newRig(t testing.TB) *rig {
	t.Helper()
	r := rigOn(t, vfs.NewMem())
	t.Cleanup(r.close)
	return r
}

// rigOnDisk is newRig on a real disk, for files that memory does not hold.
func rigOnDisk(t *testing.T) *rig {
	t.Helper()
	r := &rig{tb: t, disk: vfs.Default, dir: t.TempDir() + "/home", keys: oneKeyring(), clock: &clock{at: start}}
	r.open()
	r.vol = r.mkdir(r.home, "notes")
	t.Cleanup(r.close)
	return r
}

// rigOn makes a store on a disk, with the app volume "notes".
func rigOn(t tb, disk vfs.FS) *rig {
	t.Helper()
	r := &rig{tb: t, disk: disk, boot: "one", keys: oneKeyring(), clock: &clock{at: start}}
	r.open()
	r.vol = r.mkdir(r.home, "notes")
	return r
}

// oneKeyring makes one identity for all tests: making one takes a while.
var oneKeyring = sync.OnceValue(func() *identity.Keyring {
	k, err := identity.NewIdentity(rand.Reader, "me", time.Unix(0, start))
	if err != nil {
		panic(err)
	}
	return k
})

// open opens the store as a start of the daemon does.
func (r *rig) open() {
	r.Helper()
	r.must(r.tryOpen())
}

func (r *rig) tryOpen() (err error) {
	r.logs = map[identity.VolumeID]fsOpened{}
	if r.st, err = store.Open(cmp.Or(r.dir, "home"), store.Options{FS: r.disk, FlushEvery: -1, Age: eventlog.FactAge}); err != nil {
		return err
	}
	if r.blocks, err = ipld.OpenSegments(r.st, ipld.SegmentOptions{Size: 1 << 20}); err != nil {
		return err
	}
	r.fs, err = New(Options{
		Store: r.st, Blocks: r.blocks, UID: testUID, GID: testGID, Device: "laptop", Boot: r.boot, Now: r.clock.now, Keep: r.keepKept,
		Logger: slog.New(slog.NewTextHandler(logTo{r}, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	err = r.fs.AddIdentity(Identity{
		Name: "me", Home: r.keys.VolumeID("", 0), InoKey: [32]byte(r.keys.InoKey()),
		VolumeID: r.keys.VolumeID, Open: r.openLog, Wake: func(bool) {},
	})
	if err != nil {
		return err
	}
	if err := r.fs.Sweep(); err != nil {
		return err
	}
	e, err := r.fs.Lookup(Root, "me")
	if err != nil {
		return err
	}
	r.home = e.Node
	if e, err = r.fs.Lookup(r.home, "notes"); err == nil {
		r.vol = e.Node
	}
	return nil
}

// keepKept keeps the blocks of the checkpoints that stand in for frames.
func (r *rig) keepKept(yield func(ipld.CID) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.logs {
		kept, err := o.Log.Kept()
		if err != nil {
			return err
		}
		for _, k := range kept {
			if err := yield(k.Table.Link.CID); err != nil {
				return err
			}
		}
	}
	return nil
}

// replays checks that the state is what the log leads to, from nothing or from the checkpoint that stands in for its first frames.
func (r *rig) replays() {
	r.Helper()
	for _, v := range r.fs.allVolumes() {
		rep := report.New(context.Background(), func(int64) error { return nil })
		look := eventlog.Look{
			DB: r.st.DB(), Volume: v.id, Name: "log", Keys: r.keys.VolumeKeys(v.id), Reducer: tree.New(), Report: rep, Blocks: r.blocks,
		}
		r.must(look.Verify())
		r.must(r.st.Scratch(func(db *pebble.DB) error { return look.Replay(db) }))
		if all, _ := rep.Findings(); len(all) > 0 {
			r.Fatalf("verify finds %+v", all)
		}
	}
}

type logTo struct{ r *rig }

func (l logTo) Write(b []byte) (int, error) {
	l.r.Logf("%s", b)
	return len(b), nil
}

func (r *rig) openLog(v identity.VolumeID) (Opened, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o, ok := r.logs[v]; ok {
		return o, nil
	}
	keys := r.keys.VolumeKeys(v)
	feed := eventlog.Feed{Volume: v, Device: r.keys.Device(), Incarnation: r.keys.Incarnation()}
	log, err := eventlog.Open(eventlog.Options{
		Store: r.st, Volume: v, Feed: feed, Sign: r.keys.Sign, Keys: keys,
		Member:  func(d identity.DeviceID) bool { return d == feed.Device || d == r.other },
		Reducer: tree.New(), Rand: rand.Reader, Now: r.clock.now,
	})
	if err != nil {
		return Opened{}, err
	}
	o := Opened{
		Log:    log,
		Sealer: ipld.NewSealer([32]byte(keys.ConvergenceSecret(keys.Epoch())), [32]byte(keys.ChunkKey())),
		Author: eventlog.Author{Feed: feed.ID(), Device: feed.Device},
	}
	r.logs[v] = o
	return o, nil
}

// close ends all as an unmount does.
func (r *rig) close() {
	r.Helper()
	r.must(r.fs.Finish())
	r.must(errors.Join(r.blocks.Close(), r.st.Close()))
}

// reopen is an unmount and a mount.
func (r *rig) reopen() {
	r.Helper()
	r.close()
	r.open()
}

// seal does what runs in the background until nothing is left to seal.
func (r *rig) seal() {
	r.Helper()
	for range 100 {
		batch := r.fs.seal.take()
		if len(batch) == 0 {
			return
		}
		if err := r.fs.sealAll(context.Background(), batch); err != nil {
			r.Fatalf("seal: %v", err)
		}
	}
	r.Fatal("sealing does not end")
}

// commit frames everything and has the order take it.
func (r *rig) commit() {
	r.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.logs {
		for {
			f, err := o.Log.Cut(1000)
			r.must(err)
			if f == nil {
				break
			}
			r.index++
			r.framed += int64(len(f.Raw))
			r.must(o.Log.Commit(r.index, f.Raw))
		}
	}
}

// quiet lets d pass and ends the edits that are quiet by then.
func (r *rig) quiet(d time.Duration) {
	r.clock.forward(d)
	r.fs.endQuiet(r.clock.now())
}

func (r *rig) collect() int64 {
	r.Helper()
	freed, err := r.fs.Collect(context.Background())
	r.must(err)
	return freed
}

// collectHard is collect that rewrites what is dead in small part: for tests of what must stay.
func (r *rig) collectHard() int64 {
	r.Helper()
	freed, err := r.fs.CollectHard(context.Background())
	r.must(err)
	return freed
}

// check has every volume's state checked, the shared and the device-local one.
func (r *rig) check() {
	r.Helper()
	for _, v := range r.fs.allVolumes() {
		for _, local := range []bool{false, true} {
			if err := v.view(local, tree.Check); err != nil {
				r.Fatalf("volume %v, local %v: %v", v.id, local, err)
			}
		}
	}
}

// settled checks that nothing is left over of edits: no spill file, no record, no journal.
func (r *rig) settled() {
	r.Helper()
	r.must(r.fs.Sync())
	names, err := r.disk.List(r.st.Path(spillDir))
	r.must(err)
	if len(names) > 0 {
		r.Fatalf("spill files are left: %v", names)
	}
	for _, v := range r.fs.allVolumes() {
		v.log.Local(func(er eventlog.Reader) {
			for _, kind := range []byte{localPending, localBytes, localJournal, localChunk} {
				er.Scan([]byte{kind}, nil, func(k, _ []byte) bool {
					r.Fatalf("record %q of %x is left", k[0], k[1:])
					return false
				})
			}
		})
		held, err := v.log.Held()
		r.must(err)
		if len(held) > 0 {
			r.Fatalf("%d events are held", len(held))
		}
	}
	if n := r.fs.spills.mem.Load(); n != 0 {
		r.Fatalf("%d bytes of edits are counted", n)
	}
	if n := len(r.fs.table.edits()); n > 0 {
		r.Fatalf("%d edits go on", n)
	}
}

func (r *rig) must(err error) {
	if err != nil {
		r.Helper()
		r.Fatal(err)
	}
}

// wants fails unless err is want.
func (r *rig) wants(err, want error) {
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		r.Helper()
		r.Fatalf("got error %v, want %v", err, want)
	}
}

// Small words for what programs do. Those who look a name up forget it again, as a kernel short of memory would.

func (r *rig) mkdir(dir NodeID, name string) NodeID {
	r.Helper()
	e, err := r.fs.Mkdir(dir, name, 0o755, me)
	r.must(err)
	return e.Node
}

func (r *rig) create(dir NodeID, name string) NodeID {
	r.Helper()
	e, err := r.fs.Create(dir, name, 0o644, true, me)
	r.must(err)
	return e.Node
}

func (r *rig) write(n NodeID, off int64, data []byte) {
	r.Helper()
	w, err := r.fs.Write(n, data, off)
	r.must(err)
	if w != len(data) {
		r.Fatalf("wrote %d of %d bytes", w, len(data))
	}
}

// done is close(2) of a handle for writing, and the kernel forgetting the file.
func (r *rig) done(n NodeID) {
	r.Helper()
	r.must(r.fs.Flush(n))
	r.fs.Release(n, true)
	r.fs.Forget(n, 1)
}

// put is open, truncate, write, close.
func (r *rig) put(dir NodeID, name string, data []byte) {
	r.Helper()
	n, err := r.lookup(dir, name)
	if errors.Is(err, ErrNotExist) {
		n = r.create(dir, name)
	} else {
		r.must(err)
		r.must(r.fs.Open(n, true, true))
	}
	r.write(n, 0, data)
	r.done(n)
}

func (r *rig) lookup(dir NodeID, name string) (NodeID, error) {
	e, err := r.fs.Lookup(dir, name)
	return e.Node, err
}

func (r *rig) attr(n NodeID) Attr {
	r.Helper()
	a, err := r.fs.GetAttr(n)
	r.must(err)
	return a
}

func (r *rig) stat(dir NodeID, name string) Attr {
	r.Helper()
	e, err := r.fs.Lookup(dir, name)
	if err != nil {
		r.Fatalf("stat %q: %v", name, err)
	}
	r.fs.Forget(e.Node, 1)
	return e.Attr
}

// bytesOf reads all of a file that is open.
func (r *rig) bytesOf(n NodeID) []byte {
	r.Helper()
	b, err := r.tryBytes(n)
	r.must(err)
	return b
}

func (r *rig) tryBytes(n NodeID) ([]byte, error) {
	a, err := r.fs.GetAttr(n)
	if err != nil {
		return nil, err
	}
	b := make([]byte, a.Size+10)
	k, err := r.fs.Read(n, b, 0)
	if err == nil && int64(k) != a.Size {
		err = fmt.Errorf("read %d of %d bytes", k, a.Size)
	}
	return b[:k], err
}

// get opens, reads and closes.
func (r *rig) get(dir NodeID, name string) []byte {
	r.Helper()
	b, err := r.tryGet(dir, name)
	if err != nil {
		r.Fatalf("read %q: %v", name, err)
	}
	return b
}

func (r *rig) tryGet(dir NodeID, name string) ([]byte, error) {
	n, err := r.lookup(dir, name)
	if err != nil {
		return nil, err
	}
	defer r.fs.Forget(n, 1)
	if err := r.fs.Open(n, false, false); err != nil {
		return nil, err
	}
	defer r.fs.Release(n, false)
	return r.tryBytes(n)
}

func (r *rig) expect(dir NodeID, name string, want []byte) {
	r.Helper()
	r.same(name, r.get(dir, name), want)
}

func (r *rig) same(what string, got, want []byte) {
	if !bytes.Equal(got, want) {
		r.Helper()
		at := 0
		for at < len(got) && at < len(want) && got[at] == want[at] {
			at++
		}
		r.Fatalf("%s: %d bytes, want %d; they differ at %d", what, len(got), len(want), at)
	}
}

func (r *rig) missing(dir NodeID, name string) {
	r.Helper()
	_, err := r.fs.Lookup(dir, name)
	r.wants(err, ErrNotExist)
}

// names lists a directory.
func (r *rig) names(dir NodeID) []string {
	r.Helper()
	var names []string
	for cookie := uint64(0); ; {
		list, err := r.fs.ReadDir(dir, cookie)
		r.must(err)
		if len(list) == 0 {
			return names
		}
		for _, e := range list {
			names = append(names, string(e.Name))
			cookie = e.Cookie
		}
	}
}

// pattern is bytes that tell their place and whose they are.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>9) ^ byte(i)*7 ^ seed
	}
	return b
}

// versions counts the versions of all files of the app volume.
func (r *rig) versions() int {
	r.Helper()
	count := 0
	r.must(r.volume().view(false, func(er eventlog.Reader) error {
		er.Scan([]byte{'v'}, nil, func(k, _ []byte) bool {
			count++
			return true
		})
		return nil
	}))
	return count
}

func (r *rig) volume() *Volume {
	r.Helper()
	n, err := r.fs.nodeOf(r.vol)
	r.must(err)
	return n.vol
}
