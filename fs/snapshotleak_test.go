package fs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/internal/leakcheck"
)

// Of 1,000 names, and as many contents, attributes and targets of a volume with snapshots, no segment and no frame shows one: neither as it
// stands there, nor in anything in it that can be decompressed.
func TestSnapshotsLeakNothing(t *testing.T) {
	r := newRig(t)
	rnd := rand.New(rand.NewPCG(5, 6))
	var secrets [][]byte
	secret := func(what string) string {
		s := fmt.Sprintf("%s %016x", what, rnd.Uint64())
		secrets = append(secrets, []byte(s))
		return s
	}
	for i := range 20 {
		dir := r.mkdir(r.vol, secret("directory"))
		for k := range 48 {
			name := secret("name")
			r.put(dir, name, append([]byte(secret("content")), pattern(200*k, byte(i))...))
			n, err := r.lookup(dir, name)
			r.must(err)
			r.must(r.fs.SetXattr(n, secret("user.attribute"), []byte(secret("value")), 0))
		}
		_ = failure(r.fs.Symlink(dir, secret("link"), secret("target"), me))
		if i == 10 {
			r.seal()
			r.snap("early")
		}
	}
	r.seal()
	r.commit()
	r.snap("late")
	r.must(r.blocks.Sync())
	var found bytes.Buffer
	names, err := r.disk.List(r.st.Path("segments"))
	r.must(err)
	for _, name := range names {
		f, err := r.disk.Open(r.st.Path("segments", name))
		r.must(err)
		_, err = found.ReadFrom(f)
		r.must(err)
		r.must(f.Close())
	}
	segments := found.Len()
	log := r.volume().log
	for _, feed := range log.Feeds() {
		r.must(log.Frames(feed.ID(), 1, func(f *eventlog.Frame) bool {
			found.Write(f.Raw)
			return true
		}))
	}
	if segments < 1<<20 || found.Len()-segments < 100<<10 || len(secrets) < 3000 {
		t.Fatalf("%d bytes of segments, %d of frames, %d secrets", segments, found.Len()-segments, len(secrets))
	}
	all := append(found.Bytes(), decompressed(t, found.Bytes())...)
	if err := leakcheck.Find(all, secrets...); err != nil {
		t.Error(err)
	}
	shown := fmt.Sprint(r.dump(r.vol))
	enc, err := zstd.NewWriter(nil)
	r.must(err)
	if err := leakcheck.Find(decompressed(t, append([]byte("before"), enc.EncodeAll([]byte(shown), nil)...)), secrets...); err == nil {
		t.Error("the search finds nothing where they stand in the open")
	}
}

// decompressed is what each run of bytes that looks like the beginning of compressed ones gives.
func decompressed(t *testing.T, b []byte) (all []byte) {
	t.Helper()
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	for _, magic := range []string{"\x28\xb5\x2f\xfd"} {
		for at := 0; ; at++ {
			i := bytes.Index(b[at:], []byte(magic))
			if i < 0 {
				break
			}
			at += i
			out, _ := dec.DecodeAll(b[at:], nil) // what follows is an error, and what came before it counts
			all = append(all, out...)
		}
	}
	return all
}
