package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/when"
)

// retention says how long history is kept, or changes it first.
func (d *daemon) retention(_ context.Context, q control.RetentionRequest) ([]control.Retention, error) {
	sources, err := d.sources(q.Volume)
	if err != nil {
		return nil, err
	}
	var list []control.Retention
	for _, s := range sources {
		is, err := d.fs.Retention(s.id)
		if err != nil {
			return nil, err
		}
		if q.Change != nil {
			if err := change(&is, *q.Change); err != nil {
				return nil, err
			}
			err := d.fs.SetRetention(s.id, is)
			if errors.Is(err, fs.ErrInvalid) {
				return nil, control.Fail(control.Usage, errors.New("a length of time is a minute at least, 0 or forever"), "see: rhizome retention --help")
			}
			if err != nil {
				return nil, err
			}
		}
		r := control.Retention{
			Volume: control.VolumeID(s.id.String()), Label: s.label, Times: control.RetentionTimes{
				All: when.FormatLength(is.All), Hourly: when.FormatLength(is.Hourly),
				Daily: when.FormatLength(is.Daily), Weekly: when.FormatLength(is.Weekly),
			},
		}
		if since := s.log.Since(); since.Era != 0 {
			at := since.When().UTC()
			r.Since = &at
		}
		list = append(list, r)
	}
	return list, nil
}

// change sets what is said, and leaves the rest.
func change(r *fs.Retention, to control.RetentionTimes) error {
	for _, f := range []struct {
		to *time.Duration
		s  string
	}{{&r.All, to.All}, {&r.Hourly, to.Hourly}, {&r.Daily, to.Daily}, {&r.Weekly, to.Weekly}} {
		if f.s == "" {
			continue
		}
		d, err := when.ParseLength(f.s)
		if err != nil {
			return control.Fail(control.Usage, err, "see: rhizome retention --help")
		}
		*f.to = d
	}
	if r.All == 0 {
		return control.Fail(control.Usage, fmt.Errorf("nothing would be kept"), "--all wants a minute at least")
	}
	return nil
}
