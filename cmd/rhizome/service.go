package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// unitName is the systemd user unit's name.
const unitName = "rhizome.service"

func newService(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "service",
		Short: "Start the mount at login, and again after a crash (a systemd user unit)",
	}, newServiceInstall(a), newServiceUninstall(a))
}

func newServiceInstall(a *app) *cobra.Command {
	var options []string
	cmd := &cobra.Command{
		Use:   "install [DIR]",
		Short: "Write the unit, enable it and start it",
		Args:  argsBetween(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := a.newUnit(args, options)
			if err != nil {
				return err
			}
			return a.installService(cmd.Context(), u)
		},
	}
	cmd.Flags().StringArrayVarP(&options, "options", "o", nil, "mount options, as of mount")
	return cmd
}

func newServiceUninstall(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "uninstall",
		Short: "Stop the unit, disable it and remove it; files and store stay",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.uninstallService(cmd.Context())
		},
	}
}

func (a *app) unitPath() (string, error) {
	return a.userDir("XDG_CONFIG_HOME", ".config", "systemd", "user", unitName)
}

func (a *app) newUnit(args, options []string) (u unit, err error) {
	if u.program, err = os.Executable(); err != nil {
		return u, fmt.Errorf("find this program: %w", err)
	}
	if u.home, err = a.home(); err != nil {
		return u, err
	}
	u.options = options
	u.dir, err = a.mountDir(args)
	return u, err
}

func (a *app) installService(ctx context.Context, u unit) error {
	path, err := a.unitPath()
	if err != nil {
		return err
	}
	if err := writeUnit(path, u.String()); err != nil {
		return err
	}
	if trouble := a.verifyUnit(ctx, path); trouble != "" {
		a.note("systemd-analyze verify says: %s", trouble)
	}
	result := serviceResult{Unit: control.Name(path)}
	running := a.ask(ctx, func(*control.Client) error { return nil }) == nil
	enable := []string{"enable", "--now", unitName}
	if running {
		enable = []string{"enable", unitName} // two daemons on one store can't be
	}
	if result.Trouble = systemctl(ctx, []string{"daemon-reload"}, enable); result.Trouble == "" {
		result.Enabled, result.Started = true, !running
	}
	if a.json {
		return a.object(result)
	}
	a.printf("Wrote %s\n", result.Unit)
	switch {
	case result.Trouble != "":
		a.printf("systemd could not be told (%s). Once it runs for you:\n\n  systemctl --user daemon-reload\n  systemctl --user %s\n\n",
			result.Trouble, strings.Join(enable, " "))
	case running:
		a.printf("The mount starts at your next login. The daemon that runs now stays as it is until then.\n")
	default:
		a.printf("The mount has been started, and starts at every login.\n")
	}
	a.printf("To have it without a login, from the machine's start: loginctl enable-linger\n")
	return nil
}

// serviceResult is what install and uninstall did, for --json.
type serviceResult struct {
	Unit    control.Name `json:"unit"`
	Enabled bool         `json:"enabled"`
	Started bool         `json:"started,omitempty"`
	Trouble string       `json:"trouble,omitempty"` // why systemd wasn't told
}

func (a *app) uninstallService(ctx context.Context) error {
	path, err := a.unitPath()
	if err != nil {
		return err
	}
	if err := ownUnit(path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return control.Fail(control.NotFound, fmt.Errorf("uninstall: %w", err), "the service is not installed")
		}
		return err
	}
	trouble := systemctl(ctx, []string{"disable", "--now", unitName})
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	if t := systemctl(ctx, []string{"daemon-reload"}); trouble == "" {
		trouble = t
	}
	if a.json {
		return a.object(serviceResult{Unit: control.Name(path), Trouble: trouble})
	}
	a.printf("Removed %s\n", control.Name(path))
	if trouble != "" {
		a.printf("systemd could not be told (%s). Once it runs for you: systemctl --user daemon-reload\n", trouble)
	}
	return nil
}

// systemctl runs systemctl --user with each of the command lines, until one fails, and says why in a line.
func systemctl(ctx context.Context, lines ...[]string) (trouble string) {
	for _, words := range lines {
		out, err := exec.CommandContext(ctx, "systemctl", append([]string{"--user"}, words...)...).CombinedOutput()
		switch {
		case errors.Is(err, exec.ErrNotFound):
			return "there is no systemctl here"
		case err != nil:
			return "systemctl: " + firstLine(out, err)
		}
	}
	return ""
}

// verifyUnit asks systemd-analyze, if there is one, and returns its complaint.
func (a *app) verifyUnit(ctx context.Context, path string) string {
	cmd := exec.CommandContext(ctx, "systemd-analyze", "--user", "verify", path)
	if a.getenv("XDG_RUNTIME_DIR") == "" { // it wants one to verify for a user, and only looks it up
		cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+filepath.Dir(path))
	}
	out, err := cmd.CombinedOutput()
	if err == nil || errors.Is(err, exec.ErrNotFound) {
		return ""
	}
	return firstLine(out, err)
}

func firstLine(out []byte, err error) string {
	if line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n"); line != "" {
		return line
	}
	return err.Error()
}
