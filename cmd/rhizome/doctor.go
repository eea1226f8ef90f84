package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/daemon"
)

func newDoctor(a *app) *cobra.Command {
	var report string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine, the store and the daemon, and say what to do",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			checks, err := a.examine(cmd.Context())
			if err != nil {
				return err
			}
			if report != "" {
				if err := a.writeReport(report, checks); err != nil {
					return err
				}
			} else if err := a.printChecks(checks); err != nil {
				return err
			}
			return worst(checks)
		},
	}
	cmd.Flags().StringVar(&report, "report", "", "write a report to FILE that holds no names, contents, keys or paths (-: stdout)")
	return cmd
}

// examine makes every check that can be made now.
func (a *app) examine(ctx context.Context) ([]control.Check, error) {
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	checks := []control.Check{checkVersion()}
	checks = append(checks, daemon.CheckFUSE()...)
	log, err := a.logFile(home)
	if err != nil {
		return nil, err
	}
	checks = append(checks, checkDisk(home), checkClock(), checkCrash(log))
	return append(checks, a.checkDaemon(ctx, home)...), nil
}

func (a *app) printChecks(checks []control.Check) error {
	if a.json {
		return list(&a.output, checks, nil)
	}
	a.table(func(row func(string, ...any)) {
		for _, c := range checks {
			row("%s\t%s\t%s", c.State, c.Name, c.Detail)
			if c.Hint != "" && c.State != control.OK {
				row("\t\t-> %s", c.Hint)
			}
		}
	})
	return nil
}

// worst names the checks that failed, with the exit code of the first.
func worst(checks []control.Check) error {
	var names []string
	var code control.Code
	for _, c := range checks {
		if c.State != control.Bad {
			continue
		}
		if len(names) == 0 {
			code = c.Code
		}
		names = append(names, c.Name)
	}
	if len(names) == 0 {
		return nil
	}
	if code == "" {
		code = control.Failed
	}
	return control.NewError(code, "not well: "+strings.Join(names, ", "), "")
}

// writeReport writes what may be shown to strangers: of each check its name, state and facts alone.
func (a *app) writeReport(path string, checks []control.Check) error {
	var b strings.Builder
	fmt.Fprintf(&b, "rhizome %s, %s %s/%s, Linux %s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, kernel())
	for _, c := range checks {
		fmt.Fprintf(&b, "%s: %s", c.Name, c.State)
		keys := make([]string, 0, len(c.Facts))
		for k := range c.Facts {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			fmt.Fprintf(&b, " %s=%q", k, c.Facts[k])
		}
		b.WriteByte('\n')
	}
	if path == "-" {
		a.printf("%s", b.String())
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if os.IsExist(err) {
			return control.Fail(control.Failed, fmt.Errorf("write report: %w", err), "name a file that doesn't exist yet")
		}
		return fmt.Errorf("write report: %w", err)
	}
	if _, err := f.WriteString(b.String()); err != nil {
		_ = f.Close()
		return fmt.Errorf("write report: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	a.note("wrote %s: it holds no names, contents, keys or paths of yours", control.Name(path))
	return nil
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "?"
	}
	return unix.ByteSliceToString(u.Release[:])
}
