package fs

import (
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
)

// More versions than are held in memory at once expire in parts, and it is the same ones, each once.
func TestExpireInParts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 40 {
		r.put(r.vol, "a", pattern(5000+i, byte(i)))
		r.clock.forward(10 * time.Second)
	}
	r.seal()
	r.commit()
	r.clock.forward(30 * time.Hour)
	pass := func(dry bool, most int) *expiry {
		t.Helper()
		keep, err := r.volume().retention()
		r.must(err)
		e := &expiry{v: r.volume(), grid: eventlog.GridOf(r.fs.now(), keep.versionAges()...), dry: dry, most: most, pause: noPause}
		r.must(e.run())
		return e
	}
	whole := pass(true, expireAtOnce)
	if whole.versions < 35 || whole.part.of != 1 {
		t.Fatalf("%d versions in %d parts", whole.versions, whole.part.of)
	}
	for _, dry := range []bool{true, false} {
		if e := pass(dry, 5); e.versions != whole.versions || e.bytes != whole.bytes || e.part.of < 4 {
			t.Errorf("dry %v: %d versions (%d bytes) in %d parts, want %d (%d)", dry, e.versions, e.bytes, e.part.of, whole.versions, whole.bytes)
		}
	}
	if e := pass(true, 5); e.versions != 0 {
		t.Errorf("%d versions would expire again", e.versions)
	}
	r.expect(r.vol, "a", pattern(5039, 39))
}
