package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// unitMark is the first line of a unit that this program wrote, and may overwrite and remove.
const unitMark = "# Written by rhizome service install; rhizome service uninstall removes it."

// A unit is a systemd user unit that runs the daemon.
type unit struct {
	program, home, dir string
	options            []string
}

// String returns the unit file. A crash is answered by a new start, which cleans up the dead mount; what a
// new start can't mend (usage, store in use, damaged, no FUSE) is not tried again.
func (u unit) String() string {
	command := []string{u.program, "mount", "--home", u.home}
	for _, o := range u.options {
		command = append(command, "-o", o)
	}
	for i, w := range command {
		command[i] = unitQuote(w)
	}
	return fmt.Sprintf(`%s
[Unit]
Description=Rhizome, a personal replicated file system
Documentation=https://github.com/rhizome-fs/rhizome
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=notify
ExecStart=%s -- %s
Restart=on-failure
RestartSec=1
RestartPreventExitStatus=%d %d %d %d
TimeoutStopSec=60
LimitCORE=0

[Install]
WantedBy=default.target
`, unitMark, strings.Join(command, " "), unitQuote(u.dir), exitUsage, exitInUse, exitDamaged, exitNoFUSE)
}

// unitQuote writes s as one word of an ExecStart line (systemd.service(5), systemd.syntax(7)): % and $
// doubled, quoted if it must be.
func unitQuote(s string) string {
	s = strings.NewReplacer("%", "%%", "$", "$$").Replace(s)
	if s != "" && !strings.ContainsAny(s, " \t\n\"'\\;") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(s) + `"`
}

// ownUnit returns nil if path is a unit that this program wrote.
func ownUnit(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read unit: %w", err)
	}
	if !strings.HasPrefix(string(b), unitMark) {
		return control.NewError(control.Failed, control.Name(path).String()+" was not written by rhizome", "move it away first")
	}
	return nil
}

// writeUnit replaces the unit at path as a whole, unless it is somebody else's.
func writeUnit(path, text string) error {
	if err := ownUnit(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write unit: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".rhizome-*")
	if err != nil {
		return fmt.Errorf("write unit: %w", err)
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write unit: %w", err)
	}
	return nil
}
