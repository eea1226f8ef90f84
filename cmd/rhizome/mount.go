package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/daemon"
)

// mountFlags are the flags of mount.
type mountFlags struct {
	detach  bool
	options []string
	readyFD int // of the child that mount --detach starts: where it says that it is ready
}

func newMount(a *app) *cobra.Command {
	var f mountFlags
	cmd := &cobra.Command{
		Use:   "mount [DIR]",
		Short: "Mount at DIR (default ~/Rhizome), and stay until interrupted or unmounted",
		Long: `Mount at DIR (default ~/Rhizome). The first run makes the store, the keys, and an identity called "me".

It stays in the foreground and unmounts cleanly on SIGINT, SIGTERM or "rhizome unmount"; with --detach it
goes on in the background, and the command returns when the mount answers.`,
		Args: argsBetween(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := newMounting(a, f, args)
			if err != nil {
				return err
			}
			if f.detach {
				return m.detach(cmd.Context())
			}
			return m.foreground(cmd.Context())
		},
	}
	cmd.Flags().BoolVarP(&f.detach, "detach", "d", false, "go on in the background")
	cmd.Flags().StringArrayVarP(&f.options, "options", "o", nil, "mount options as of mount(8): ro,noatime,allow_other,…")
	cmd.Flags().IntVar(&f.readyFD, "ready-fd", 0, "")
	_ = cmd.Flags().MarkHidden("ready-fd")
	return cmd
}

// A mounting is one run of mount, with its settings made out.
type mounting struct {
	*app
	mountFlags
	homeDir, dir, logPath string
}

func newMounting(a *app, f mountFlags, args []string) (m *mounting, err error) {
	m = &mounting{app: a, mountFlags: f}
	if m.homeDir, err = a.home(); err != nil {
		return nil, err
	}
	if m.dir, err = a.mountDir(args); err != nil {
		return nil, err
	}
	if m.logPath, err = a.logFile(m.homeDir); err != nil {
		return nil, err
	}
	return m, nil
}

// foreground is the daemon itself: it returns when the mount has gone.
func (m *mounting) foreground(ctx context.Context) error {
	report, err := m.reporter()
	if err != nil {
		return err
	}
	keepSecretsInMemory()
	tuneMemory()
	logger, closeLog := m.openLog()
	defer closeLog()
	crashed, err := lastCrash(m.logPath)
	if err != nil || crashed != "" {
		logger.Warn("an earlier run crashed", "report", crashed, "err", err)
	}
	defer m.recordCrashes(logger)()
	ctx, stop := untilSignalled(ctx, func() {
		m.sdNotify("STOPPING=1")
		logger.Info("signalled to end")
	})
	defer stop()

	var first daemon.FirstRun
	var ready sync.Once
	err = daemon.Run(ctx, daemon.Options{
		Home: m.homeDir, Dir: m.dir, MountOptions: strings.Join(m.options, ","), Version: version(), Logger: logger,
		Crashed:  crashed,
		FirstRun: func(f daemon.FirstRun) { first = f },
		Ready: func(d daemon.Mounted) {
			ready.Do(func() {
				m.sdNotify("READY=1")
				report.mounted(mountedReport{Dir: control.Name(d.Dir), Home: control.Name(m.homeDir), PID: os.Getpid(),
					Log: control.Name(m.logPath), Identities: d.Identities, FirstRun: first.Identity}, first.Words)
			})
		},
	})
	if err != nil {
		logger.Info("ended", "err", err) // for the file: main says it on stderr
		report.failed(err)
	}
	return err
}

// reporter returns who is told how the mount went: the user, or the waiting parent.
func (m *mounting) reporter() (reporter, error) {
	if m.readyFD == 0 {
		return userReporter{m}, nil
	}
	f := os.NewFile(uintptr(m.readyFD), "ready")
	if _, err := f.Stat(); err != nil {
		return nil, asUsage(fmt.Errorf("--ready-fd: %w", err))
	}
	syscall.CloseOnExec(m.readyFD)
	m.err = io.Discard // the parent prints what failed; our stderr is the log
	return parentReporter{f}, nil
}

// untilSignalled returns a context that ends at the first SIGINT, SIGTERM or SIGHUP, after calling then. A
// second one ends the process at once: what was acknowledged survives that too. A SIGHUP that was ignored
// (nohup) stays ignored, and so does a reader of our output who went away.
func untilSignalled(ctx context.Context, then func()) (context.Context, func()) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, signals...)
	after := context.AfterFunc(ctx, func() {
		stop()
		then()
	})
	return ctx, func() { after(); stop() }
}
