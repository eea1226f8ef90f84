package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/daemon"
)

func newBackup(a *app) *cobra.Command {
	var q control.BackupRequest
	var check bool
	cmd := &cobra.Command{
		Use:   "backup DIR",
		Short: "Copy everything to DIR, sealed; the next time only what is new",
		Long: `Copy everything of this device's identities to DIR, best on another disk: files, names and their whole history. What is in DIR is
sealed: without the recovery phrase nobody can read it. With the phrase and DIR alone, "rhizome recover" brings everything back.

The first time DIR is made, or must be empty; from then on each run adds only what is new. An interruption, a full disk or a crash leaves
the backup as it was. It works while the store is mounted and while it is not. Files that match the device-local rules (editors' swap
files and the like), and the trash at the mount's top, are this device's own and not in a backup.

With --check nothing is written: every file of the backup is read and compared with what was written. With --repair every file is read, too,
and what is damaged or missing is written anew from the store; what is whole stays as it is, and nothing goes before its copy is there.`,
		Args: argsBetween(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			ctx, stop := untilSignalled(cmd.Context(), func() {})
			defer stop()
			if check && q.Repair {
				return asUsage(errors.New("give one of --check and --repair"))
			}
			if check {
				return a.checkBackup(ctx, dir)
			}
			q.Dir = control.Name(dir)
			return interrupted(ctx, a.backup(ctx, q), "the backup is what it was")
		},
	}
	cmd.Flags().StringVar(&q.Identity, "identity", "", "only the identity of that name")
	cmd.Flags().BoolVar(&q.Repair, "repair", false, "read all that is in DIR, and write anew what is damaged")
	cmd.Flags().BoolVar(&check, "check", false, "read the backup in DIR, and tell what is damaged")
	return cmd
}

// backup has the daemon write the backup, or without one opens the store for it.
func (a *app) backup(ctx context.Context, q control.BackupRequest) error {
	p := a.newProgress("backup")
	defer p.end()
	tell := func(e control.BackupEvent) error {
		if e.Progress != nil {
			p.update(*e.Progress)
		}
		if e.Result == nil {
			return nil
		}
		p.end()
		if a.json {
			return a.object(e.Result)
		}
		a.printBackup(*e.Result)
		return nil
	}
	err := a.ask(ctx, func(c *control.Client) error { return control.Follow(ctx, c, control.BackupRoute, q, tell) })
	if control.CodeOf(err) != control.NoDaemon {
		return err
	}
	home, err := a.home()
	if err != nil {
		return err
	}
	return daemon.Backup(ctx, daemon.Options{Home: home, Version: version()}, q, tell)
}

func (a *app) printBackup(r control.BackupResult) {
	a.printf("%s is in %s as of %s: %s written", control.Name(r.Identity), r.Dir, localTime(r.AsOf), size(r.Bytes))
	if r.Before != nil {
		a.printf(" since %s", localTime(*r.Before))
	}
	a.printf(" (%s, %s)\n", plural(r.Frames, "frame", "frames"), plural(r.Blocks, "block", "blocks"))
	for _, f := range r.Mended {
		a.printf("written anew: %s\n", control.Name(f))
	}
	if r.MissingVersions > 0 {
		a.note("%s could not be copied as a whole, since the store is damaged; see: %s",
			plural(r.MissingVersions, "version of a file", "versions of files"), a.command("status"))
		for _, f := range r.Missing {
			a.note("  not whole: %s", f)
		}
	}
}

func (a *app) checkBackup(ctx context.Context, dir string) error {
	p := a.newProgress("check")
	res, err := daemon.CheckBackup(ctx, dir, p.update)
	p.end()
	if err = interrupted(ctx, err, "nothing was found so far"); err != nil && control.CodeOf(err) != control.Damaged {
		return err
	}
	if a.json {
		if err := a.object(res); err != nil {
			return err
		}
	} else {
		for _, f := range res.Faults {
			a.printf("damaged: %s\n", control.Name(f))
		}
		if err == nil {
			a.printf("The backup in %s is whole: %s, %s.\n", res.Dir, plural(int64(res.Parts), "identity", "identities"), size(res.Bytes))
		}
	}
	return err
}

// interrupted tells an interruption in a person's words.
func interrupted(ctx context.Context, err error, left string) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return control.Fail(control.Failed, fmt.Errorf("interrupted"), left)
}
