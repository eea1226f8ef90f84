package fs

import (
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A smallDisk that is full has room again when the spill folder is empty.
type smallDisk struct {
	vfs.FS
	full atomic.Bool
}

func (d *smallDisk) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	u := vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 30}
	if names, err := d.List("home/" + spillDir); err == nil && len(names) > 0 && d.full.Load() {
		u.AvailBytes = 48 << 20 // less than what the store keeps while it has no reserve, more than it needs
	}
	return u, nil
}

// Nobody is refused the room of spill files that only wait for being removed.
func TestFullOfWhatIsNotNeeded(t *testing.T) {
	disk := &smallDisk{FS: vfs.NewMem()}
	r := rigOn(t, disk)
	defer r.close()
	n := r.create(r.vol, "f")
	data := pattern(3*memLimit, 1)
	r.write(n, 0, data)
	r.done(n)
	r.seal()
	r.st.GiveUpReserve()
	disk.full.Store(true)
	r.fs.space.asked = r.fs.space.asked.Add(-2 * spaceMaxAge)
	r.put(r.vol, "g", data)
	r.expect(r.vol, "g", data)
}
