package daemon

import (
	"path/filepath"
	"time"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// massShown is for how long status tells of a mass deletion; log does for as long as it knows of it.
const massShown = 7 * 24 * time.Hour

// massDeletions lists large parts of volumes that were deleted at once, those that ended after a time.
func (d *daemon) massDeletions(after time.Time) ([]control.MassDeletion, error) {
	all, err := d.fs.MassDeletions()
	if err != nil {
		return nil, err
	}
	var list []control.MassDeletion
	for _, m := range all {
		if m.Ended.Before(after) {
			continue
		}
		list = append(list, control.MassDeletion{
			Volume: control.VolumeID(m.Volume.String()), Path: control.Name(filepath.Join(d.conn.Dir(), m.Path)),
			Since: m.Since.UTC(), Began: m.Began.UTC(), Ended: m.Ended.UTC(), Removed: m.Removed, Of: m.Of,
		})
	}
	return list, nil
}

// A massMarker marks, of each mass deletion, the first removal that it is shown.
type massMarker struct {
	list []control.MassDeletion
	told map[time.Time]bool
}

func (d *daemon) newMassMarker() (*massMarker, error) {
	list, err := d.massDeletions(time.Time{})
	return &massMarker{list: list, told: map[time.Time]bool{}}, err
}

func (m *massMarker) mark(e *control.LogEntry) {
	if e.What != "remove" {
		return
	}
	for i := range m.list {
		x := &m.list[i]
		if x.Volume == e.Volume && !e.Time.Before(x.Began) && !e.Time.After(x.Ended) && !m.told[x.Began] {
			m.told[x.Began] = true
			e.MassDeletion = x
			return
		}
	}
}
