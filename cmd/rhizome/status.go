package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
)

func newStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status [PATH]",
		Short: "Say how things are: all volumes, or the one that PATH is in",
		Args:  argsBetween(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, one, err := a.where(cmd.Context(), args)
			if err != nil {
				return err
			}
			s, err := question(cmd.Context(), a, control.StatusRoute, struct{}{})
			if err != nil {
				return err
			}
			if one && w.Volume != "" {
				s = onlyVolume(s, w.Volume)
			}
			if a.json {
				return a.object(s)
			}
			a.printStatus(s)
			return nil
		},
	}
}

// onlyVolume is s with the numbers of one volume.
func onlyVolume(s control.Status, id control.VolumeID) control.Status {
	all, damage, mass := s.Volumes, s.Damage, s.MassDeletions
	s.Volumes, s.Damage, s.MassDeletions = nil, nil, nil
	for _, m := range mass {
		if m.Volume == id {
			s.MassDeletions = append(s.MassDeletions, m)
		}
	}
	for _, v := range all {
		if v.ID == id {
			s.Volumes = append(s.Volumes, v)
			s.Files, s.Bytes, s.Events = v.Files, v.Bytes, v.Events
		}
	}
	for _, d := range damage {
		if d.Volume == id || d.Volume == "" {
			s.Damage = append(s.Damage, d)
		}
	}
	s.Sentence = control.Sentence(s)
	return s
}

func (a *app) printStatus(s control.Status) {
	a.printf("%s\n\n", s.Sentence)
	a.table(func(row func(string, ...any)) {
		row("Mounted at\t%s%s", s.Mount, readOnly(s))
		row("Store\t%s: %s, %s free on its disk", s.Home, size(s.StoreSize), size(s.DiskFree))
		row("Daemon\tpid %d, version %s, since %s", s.PID, s.Version, localTime(s.Started))
		for _, id := range s.Identities {
			row("Identity\t%s: %s", control.Name(id.Name), id.ID)
		}
	})
	for _, c := range s.Checkpoints {
		a.printf("Checkpoint of %s: %s\n", control.Name(c.Identity), checkpoint(c))
	}
	a.printf("\n")
	a.table(func(row func(string, ...any)) {
		row("VOLUME\tFILES\tSIZE\tEVENTS")
		for _, v := range s.Volumes {
			row("%s\t%s\t%s\t%s", v.Label, control.Grouped(v.Files), size(v.Bytes), events(v.Events))
		}
	})
	for _, v := range s.Volumes {
		if v.LogSince != nil {
			a.printf("Log of %s: whole since %s; a checkpoint has what came before\n", v.Label, localTime(*v.LogSince))
		}
	}
	for _, f := range s.Health {
		a.printf("\n%s: %s%s\n", gradeWord(f.Grade), f.What, hintAfter(f.Hint))
	}
	for _, m := range s.MassDeletions {
		a.printf("\nNote: %s\n", a.massLine(m))
	}
	for _, d := range s.Damage {
		what := d.What
		if d.Path != "" {
			what = d.Path.String() + ": " + what
		}
		a.printf("\nDamaged: %s\n", what)
	}
}

// checkpoint says when and why one was made.
func checkpoint(c control.Checkpoint) string {
	s := control.Grouped(int64(c.Events)) + " events"
	if c.Time.IsZero() {
		return s + ", by an earlier run"
	}
	return s + ", at " + localTime(c.Time) + ": " + c.Why
}

// massLine tells of files that were deleted at once, and how to have them back.
func (a *app) massLine(m control.MassDeletion) string {
	return fmt.Sprintf("%s of %s files in %s were deleted at once, %s; to take that back: %s", control.Grouped(m.Removed), control.Grouped(m.Of),
		m.Path, localTime(m.Began), a.command("undo", "--since", m.Since.Format(time.RFC3339Nano), string(m.Path)))
}

func readOnly(s control.Status) string {
	if s.ReadOnly {
		return " (read-only)"
	}
	return ""
}

// events returns "2,003" or "2,003 (3 tentative, 1 not framed yet)".
func events(e control.Events) string {
	var rest []string
	if e.Tentative > 0 {
		rest = append(rest, control.Grouped(int64(e.Tentative))+" tentative")
	}
	if e.Unframed > 0 {
		rest = append(rest, control.Grouped(int64(e.Unframed))+" not framed yet")
	}
	s := control.Grouped(int64(e.Committed + e.Tentative + e.Unframed))
	if len(rest) > 0 {
		s += fmt.Sprintf(" (%s)", strings.Join(rest, ", "))
	}
	return s
}

func gradeWord(s control.State) string {
	switch s {
	case control.Warn:
		return "Warning"
	case control.Bad:
		return "Problem"
	case control.OK:
		return "Fine"
	default:
		return "Note"
	}
}

func hintAfter(hint string) string {
	if hint == "" {
		return ""
	}
	return "; " + hint
}

func localTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
