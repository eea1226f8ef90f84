package fs

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What was closed and never synced is trusted after kill -9, and not after a power cut: then the file is as it was before,
// though its spill file has the right length. Once it was synced it is trusted whatever happened.
func TestUnsyncedBytesAreTrustedWithinOneBoot(t *testing.T) {
	old, edited := bytes.Repeat([]byte("old "), memLimit), bytes.Repeat([]byte("new "), memLimit)
	for _, c := range []struct {
		name   string
		synced bool
		boot   string
		want   []byte
	}{
		{"killed", false, "one", edited},
		{"power cut", false, "two", old},
		{"power cut after a flush", true, "two", edited},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			r := &rig{tb: t, disk: disk, boot: "one", keys: oneKeyring(), clock: &clock{at: start}}
			r.open()
			r.vol = r.mkdir(r.home, "notes")
			r.put(r.vol, "f", old)
			r.seal()
			r.put(r.vol, "f", edited)
			if c.synced {
				r.must(r.fs.syncPending())
			}
			after := &rig{tb: t, boot: c.boot, keys: r.keys, clock: r.clock}
			after.disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
			r.close()
			after.open()
			defer after.close()
			after.seal()
			after.expect(after.vol, "f", c.want)
			after.check()
		})
	}
}
