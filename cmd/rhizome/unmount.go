package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/daemon"
)

// endTime is how long unmount waits for the daemon to end.
const endTime = time.Minute

func newUnmount(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "unmount [DIR]",
		Aliases: []string{"umount"},
		Short:   "Unmount, and return when the daemon has ended",
		Long: `Unmount, and return when the daemon has ended. While programs hold files open they are named, and nothing
changes; with --force what they have written is made durable and the mount is detached all the same.

A dead mount that a killed daemon left behind is cleaned up.`,
		Args: argsBetween(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), endTime)
			defer cancel()
			err := a.unmount(ctx, args, force)
			if control.CodeOf(err) != control.NoDaemon {
				return err
			}
			return a.cleanDeadMount(args, err)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "detach though programs hold files open")
	return cmd
}

func (a *app) unmount(ctx context.Context, args []string, force bool) error {
	return a.ask(ctx, func(c *control.Client) error {
		s, err := control.Call(ctx, c, control.StatusRoute, struct{}{})
		if err != nil {
			return err
		}
		if err := a.isMount(args, s); err != nil {
			return err
		}
		if err := os.Chdir("/"); err != nil { // this program must not hold the mount itself
			return fmt.Errorf("unmount: %w", err)
		}
		proc, err := openProcess(c.DaemonPID())
		if err != nil {
			return err
		}
		defer proc.close()
		answer, err := control.Call(ctx, c, control.UnmountRoute, control.UnmountRequest{Force: force})
		if err != nil {
			return err
		}
		if len(answer.Holders) > 0 {
			return a.held(s.Mount, answer.Holders)
		}
		if err := proc.wait(ctx); err != nil {
			return fmt.Errorf("unmounted, but the daemon (pid %d) has not ended: %w", c.DaemonPID(), err)
		}
		if a.json {
			return a.object(map[string]any{"unmounted": s.Mount})
		}
		a.printf("Unmounted %s\n", s.Mount)
		return nil
	})
}

// isMount checks that the directory that was named, if one was, is what the daemon has mounted.
func (a *app) isMount(args []string, s control.Status) error {
	if len(args) == 0 {
		return nil
	}
	dir, err := resolve(args[0])
	if err != nil {
		return err
	}
	mount, err := resolve(string(s.Mount))
	if err != nil || dir == mount {
		return err
	}
	return control.NewError(control.NotFound, fmt.Sprintf("%s is not this store's mount", dir),
		fmt.Sprintf("that is %s; for another store use --home", s.Mount))
}

// held names who keeps the mount in use.
func (a *app) held(mount control.Name, holders []control.Holder) error {
	if a.json {
		if err := list(&a.output, holders, nil); err != nil {
			return err
		}
	} else {
		for _, h := range holders {
			a.note("pid %d (%s) uses:", h.PID, h.Command)
			for _, p := range h.Paths {
				_, _ = fmt.Fprintf(a.err, "    %s\n", p)
			}
		}
	}
	return control.NewError(control.InUse, fmt.Sprintf("%s is in use by %s", mount, plural(int64(len(holders)), "program", "programs")),
		"close them, or use --force; nothing was changed")
}

// cleanDeadMount is unmount without a daemon: noDaemon is the error if there is nothing to clean up.
func (a *app) cleanDeadMount(args []string, noDaemon error) error {
	dir, err := a.mountDir(args)
	if err != nil {
		return err
	}
	cleaned, err := daemon.CleanDeadMount(dir)
	switch {
	case err != nil:
		return err
	case !cleaned:
		return noDaemon
	case a.json:
		return a.object(map[string]any{"unmounted": control.Name(dir), "was_dead": true})
	}
	a.printf("Cleaned up %s: its daemon was gone\n", control.Name(dir))
	return nil
}
