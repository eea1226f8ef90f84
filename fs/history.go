package fs

import (
	"fmt"
	"slices"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
)

// A Change is one thing that happened to a file, or to a name in a directory.
type Change struct {
	Time   time.Time // an edit's by its author's clock, others' by this device's, when they were shown
	What   string    // "create", "edit", "rename", "link", "remove", "restore", "chmod", "chown", "xattr", "touch"
	Path   string    // from the mount's top; after a rename
	From   string    // of a rename
	Kind   tree.Kind
	Device identity.DeviceID // zero: not known, of what was before the log noted it
	By     string            // the device's name, as it gave it; "" if it did not
	Bytes  int64             // of a file after the change

	// Of an edit: the version it made, and the one that it replaced, zero if there was none.
	Version, Before tree.VersionID

	order eventlog.Moment
}

// A Past is what Find found: a path, and which file it leads to or led to.
type Past struct {
	Volume identity.VolumeID
	spot   spot
	trail  []tree.Dirent // what each name led to, the root first
	gone   bool
}

// IsDir reports whether the path is or was a directory.
func (p *Past) IsDir() bool { return p.trail[len(p.trail)-1].Kind == tree.Dir }

// FindPast finds what a path leads to, or led to before it was removed.
func (f *FS) FindPast(path []string) (*Past, error) {
	s, err := f.spotAt(path, time.Time{})
	if err != nil {
		return nil, err
	}
	p := &Past{spot: s, trail: []tree.Dirent{{ID: tree.RootID, Kind: tree.Dir}}}
	for i := 0; i < len(p.spot.names); i++ {
		name := p.spot.names[i]
		until, d, ok, err := p.spot.vol.lastDirent(p.trail[i].ID, name)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("%s: there is nothing, and nothing is known to have been: %w", p.spot.path(), ErrNotExist)
		}
		p.gone = p.gone || until != eventlog.Moment{}
		if d.Kind != tree.Graft {
			p.trail = append(p.trail, d)
			continue
		}
		dead, ok := tree.Inode{}, false
		p.spot.vol.view(false, func(r eventlog.Reader) error {
			dead, ok = tree.GetDead(r, d.ID)
			return nil
		})
		if !ok {
			return nil, fmt.Errorf("%s: %w", p.spot.path(), ErrNotExist)
		}
		v, err := f.openVolume(s.home, dead.Volume, name)
		if err != nil {
			return nil, err
		}
		p.spot = spot{home: s.home, vol: v, app: name, names: p.spot.names[i+1:]}
		i = -1
	}
	p.Volume = p.spot.vol.id
	return p, nil
}

// History lists what happened to a path, newest first: to the file that it leads to, by whatever name, and to those that had the name before it; and
// of a directory, which names came and went.
func (f *FS) History(p *Past) ([]Change, error) {
	h := &historian{v: p.spot.vol, label: p.spot.label()}
	h.device, h.known = h.v.onlyDevice()
	last := len(p.trail) - 1
	var err error
	if last == 0 {
		err = h.file(tree.RootID, eventlog.Moment{}, eventlog.Moment{})
	} else {
		err = h.name(p.trail[last-1].ID, p.spot.names[last-1])
	}
	if err == nil && p.IsDir() {
		err = h.names(p.trail[last].ID)
	}
	h.nameDevices()
	slices.SortStableFunc(h.list, func(a, b Change) int { return b.order.Compare(a.order) })
	return h.list, err
}

// onlyDevice is the device that has made all events of the volume, if one has: then it is known who made those of which the log has not noted it.
func (v *Volume) onlyDevice() (dev identity.DeviceID, ok bool) {
	dev = v.author.Device
	for _, f := range v.log.Feeds() {
		if f.Device != dev {
			return identity.DeviceID{}, false
		}
	}
	return dev, true
}

// ReadVersion reads a version's bytes; ErrTooBig if there are more than limit.
func (f *FS) ReadVersion(vol identity.VolumeID, id tree.VersionID, limit int64) ([]byte, error) {
	v, ok := f.volume(vol)
	if !ok {
		return nil, fmt.Errorf("volume %v: %w", vol, ErrNotExist)
	}
	if gone, err := v.hasExpired(id); err != nil {
		return nil, err
	} else if gone {
		return nil, fmt.Errorf("version %x %w", id[:4], errExpired)
	}
	c, err := v.content(false, id)
	if err != nil || c == nil {
		return nil, err
	}
	if c.Size() > limit {
		return nil, fmt.Errorf("version %x of %d bytes: %w", id[:4], c.Size(), ErrTooBig)
	}
	b := make([]byte, c.Size())
	return b, readFull(c, b, 0)
}
