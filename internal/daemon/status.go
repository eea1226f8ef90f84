package daemon

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// status gathers what a person may want to know.
func (d *daemon) status() (control.Status, error) {
	vols, err := d.fs.Volumes()
	if err != nil {
		return control.Status{}, err
	}
	space := d.fs.Space()
	s := control.Status{
		Mount: control.Name(d.conn.Dir()), Home: control.Name(d.opts.Home), ReadOnly: d.conn.Options().ReadOnly,
		PID: os.Getpid(), Version: d.opts.Version, Started: d.started,
		Identities: d.identities(), Volumes: []control.Volume{}, DiskFree: space.Free,
	}
	for _, v := range vols {
		u, err := d.fs.Usage(v.ID)
		if err != nil {
			return s, err
		}
		cv := control.Volume{
			ID: control.VolumeID(v.ID.String()), Label: label(v.Identity, v.Name), Identity: v.Identity,
			Home: v.Name == "", Files: u.Files, Bytes: u.Bytes,
		}
		if i, err := d.named(v.Identity); err == nil {
			if l, ok := i.log(v.ID); ok {
				cv.Events = events(l.Stats())
				if cv.LogSince, err = logSince(l); err != nil {
					return s, err
				}
			}
		}
		s.Files += cv.Files
		s.Bytes += cv.Bytes
		s.Events.Committed += cv.Events.Committed
		s.Events.Tentative += cv.Events.Tentative
		s.Events.Unframed += cv.Events.Unframed
		s.Volumes = append(s.Volumes, cv)
	}
	if s.StoreSize, err = storeSize(d.opts.Home); err != nil {
		return s, err
	}
	for _, i := range d.all() {
		if c, ok := i.compactor.told(); ok {
			s.Checkpoints = append(s.Checkpoints, c)
		}
	}
	s.Health = d.health(space)
	s.Damage = d.damage()
	if s.MassDeletions, err = d.massDeletions(time.Now().Add(-massShown)); err != nil {
		return s, err
	}
	s.Sentence = control.Sentence(s)
	return s, nil
}

func events(s eventlog.Stats) control.Events {
	return control.Events{Committed: s.CommittedEvents, Tentative: s.TentativeEvents, Unframed: s.UnframedEvents}
}

// storeSize is what the store takes on the disk.
func storeSize(home string) (int64, error) {
	var size int64
	err := filepath.WalkDir(home, func(_ string, e iofs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return skipGone(err)
		}
		info, err := e.Info()
		if err != nil {
			return skipGone(err)
		}
		size += info.Size()
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("measure the store: %w", err)
	}
	return size, nil
}

// skipGone forgives files that went while they were counted.
func skipGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

func (d *daemon) health(space store.Space) []control.Finding {
	var list []control.Finding
	full := space.Total > 0 && space.Free == 0
	if err := d.st.Health(); err != nil && !(full && errors.Is(err, store.ErrNoSpace)) {
		list = append(list, control.Finding{
			Grade: control.Bad, What: "the store's disk does not work: " + err.Error(),
			Hint: "look at the disk; what was acknowledged is safe, and all goes on by itself when the disk does",
		})
	}
	if _, err := os.Stat(d.opts.Crashed); d.opts.Crashed != "" && err == nil {
		list = append(list, control.Finding{
			Grade: control.Warn, What: "an earlier run crashed; the report is " + control.Name(d.opts.Crashed).String(),
			Hint: "send it to the makers, then remove it: it holds no names, contents or keys",
		})
	}
	switch {
	case full:
		list = append(list, control.Finding{Grade: control.Bad, What: "the disk is full", Hint: "free some space: files can still be removed, renamed and cut"})
	case space.Total > 0 && space.Low && !d.tidier.gaveUp().IsZero():
		list = append(list, control.Finding{
			Grade: control.Warn, What: "the disk is nearly full; history before " + d.tidier.gaveUp().Format("2006-01-02 15:04") + " was given up to make room",
			Hint: "free some space",
		})
	case space.Total > 0 && space.Low:
		list = append(list, control.Finding{Grade: control.Warn, What: "the disk is nearly full", Hint: "free some space"})
	}
	return list
}

// fullPath names a damaged file from the mount's top.
func (d *daemon) fullPath(f fs.Damage) control.Name {
	if f.Path == "" {
		return ""
	}
	return join(d.labelOf(f.Volume), f.Path)
}

func (d *daemon) damage() []control.Damage {
	var list []control.Damage
	for _, f := range d.fs.Damaged() {
		list = append(list, control.Damage{
			Volume: control.VolumeID(f.Volume.String()), Path: d.fullPath(f), What: f.Why,
		})
	}
	for _, b := range d.blocks.Damage() {
		list = append(list, control.Damage{What: b.String()})
	}
	return list
}

// labelOf is a volume's name for people.
func (d *daemon) labelOf(id identity.VolumeID) control.Name {
	vols, err := d.fs.Volumes()
	if err != nil {
		return control.Name(id.String())
	}
	for _, v := range vols {
		if v.ID == id {
			return label(v.Identity, v.Name)
		}
	}
	return control.Name(id.String())
}
