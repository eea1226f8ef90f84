package main

import (
	"path/filepath"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// A reporter is told how mount went.
type reporter interface {
	// mounted gets the words of the identity that this run made, or "".
	mounted(mountedReport, control.Words)
	failed(error)
}

// mountedReport is what mount says when the mount answers. It never holds the phrase.
type mountedReport struct {
	Dir        control.Name       `json:"mount"`
	Home       control.Name       `json:"home"`
	PID        int                `json:"pid"`
	Log        control.Name       `json:"log"`
	Identities []control.Identity `json:"identities"`
	FirstRun   string             `json:"first_run,omitempty"` // the identity that was made
}

// A userReporter prints for the user. Failures it leaves to main.
type userReporter struct{ m *mounting }

func (u userReporter) failed(error) {}

func (u userReporter) mounted(r mountedReport, words control.Words) {
	m := u.m
	if m.json {
		_ = m.object(r)
		return
	}
	if m.supervised() {
		return // nobody reads it, and a journal keeps it
	}
	m.printf("Rhizome is mounted at %s.\n\n", r.Dir)
	m.table(func(row func(string, ...any)) {
		for _, id := range r.Identities {
			row("  Put files into\t%s", control.Name(filepath.Join(string(r.Dir), id.Name)))
		}
		row("  See how it is\t%s", m.command("status"))
		row("  Unmount\t%s", m.command("unmount"))
		row("  Start it at login\t%s", m.command(m.serviceInstall()...))
		for _, id := range r.Identities {
			if id.HasPhrase && (id.Name != r.FirstRun || !m.outTerminal) {
				row("  Write down the recovery phrase\t%s", m.command("identity", "phrase", id.Name))
			}
		}
	})
	if words != "" && m.outTerminal {
		m.showWords(words)
	}
}

// serviceInstall is the command that makes a mount like this one start at login.
func (m *mounting) serviceInstall() []string {
	words := []string{"service", "install"}
	for _, o := range m.options {
		words = append(words, "-o", o)
	}
	if def, err := m.mountDir(nil); err != nil || def != m.dir {
		words = append(words, m.dir)
	}
	return words
}
