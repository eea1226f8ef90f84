package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/daemon"
)

func newVerify(a *app) *cobra.Command {
	var deep, repair bool
	var from string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check everything that is stored, and mend what can be mended",
		Long: `Verify reads everything in the store and says exactly what is not as it was written: blocks against their
hashes and keys, the index, frames with their signatures and their order, the state, files and names. It changes nothing unless --repair is given.

It works while the store is mounted, slowly so that nobody waits for it; what a start would make of the store, and --repair, want it unmounted.

  --deep           opens every block of every version, and replays the log and compares the state with what comes of it
  --repair         mends what follows from what is here: the index, the state, a flipped bit that a checksum tells.
                   What is replaced is kept beside it, and named
  --from DIR       with --repair: takes damaged and missing blocks from another store, a backup, or CAR files in DIR

Exit codes: 0 nothing is damaged, or all that was is mended; 6 something is damaged; 1, 2, 4, 5 as for every command.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from != "" && !repair {
				return asUsage(errors.New("--from goes with --repair"))
			}
			if from != "" {
				abs, err := filepath.Abs(from)
				if err != nil {
					return err
				}
				from = abs
			}
			return a.verify(cmd.Context(), daemon.VerifyOptions{Deep: deep, Repair: repair, From: from})
		},
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "open every block, and replay the log")
	cmd.Flags().BoolVar(&repair, "repair", false, "mend what can be mended")
	cmd.Flags().StringVar(&from, "from", "", "with --repair: where copies of damaged blocks may be")
	return cmd
}

func (a *app) verify(ctx context.Context, o daemon.VerifyOptions) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	p := a.newProgress("verify")
	o.Home = home
	o.Progress = func(done, total int64) { p.update(control.Progress{Done: done, Total: total}) }
	rep, err := a.verifyMounted(ctx, o)
	if control.CodeOf(err) == control.NoDaemon {
		limitGarbage() // most of what lives is the database's cache
		rep, err = daemon.Verify(ctx, o)
	}
	p.end()
	if err != nil {
		return err
	}
	if a.json {
		if err := a.object(rep); err != nil {
			return err
		}
	} else {
		a.printVerified(rep)
	}
	return verdict(rep)
}

// verifyMounted has the daemon check the store that it serves.
func (a *app) verifyMounted(ctx context.Context, o daemon.VerifyOptions) (rep control.VerifyReport, err error) {
	err = a.ask(ctx, func(c *control.Client) error {
		if o.Repair {
			return control.NewError(control.InUse, "the store is mounted", "unmount it first: "+a.command("unmount"))
		}
		return control.Follow(ctx, c, control.VerifyRoute, control.VerifyRequest{Deep: o.Deep}, func(s control.VerifyStep) error {
			if s.Report != nil {
				rep = *s.Report
			} else {
				o.Progress(s.Done, s.Total)
			}
			return nil
		})
	})
	return rep, err
}

func (a *app) printVerified(rep control.VerifyReport) {
	for _, f := range rep.Findings {
		word := "damaged"
		switch {
		case f.Note && f.What == "":
			word = "mended"
		case f.Note:
			word = "note"
		case f.Done != "":
			word = "mended"
		}
		a.printf("%s: %s %s", word, f.Kind, f.Where)
		if f.What != "" {
			a.printf(": %s", f.What)
		}
		switch {
		case f.Done != "":
			a.printf("; %s", f.Done)
		case f.Note:
		case f.By == "rebuild":
			a.printf("; --repair mends it")
		case f.By == "copy":
			a.printf("; --repair --from DIR mends it if DIR has a copy")
		}
		a.printf("\n")
	}
	for _, k := range slices.Sorted(maps.Keys(rep.More)) {
		a.printf("and %s more of kind %s\n", control.Grouped(rep.More[k]), k)
	}
	a.printf("%s\n", summary(rep))
}

// summary says in one line what was checked.
func summary(rep control.VerifyReport) string {
	s := fmt.Sprintf("Read %s: %s in %s, %s", size(rep.Bytes), plural(rep.Checked["block"], "block", "blocks"),
		plural(rep.Checked["segment"], "segment", "segments"), plural(rep.Checked["frame"], "frame", "frames"))
	if rep.Clean {
		return s + "; nothing is damaged."
	}
	return s + "."
}

// verdict is the error that a report comes to.
func verdict(rep control.VerifyReport) error {
	if rep.Clean {
		return nil
	}
	var left, reparable int64
	for _, f := range rep.Findings {
		if !f.Note && f.Done == "" {
			left++
			if f.Reparable {
				reparable++
			}
		}
	}
	for _, n := range rep.More {
		left += n
	}
	hint := "see docs/guide/verify.md"
	if reparable > 0 && !rep.Repaired {
		hint = "copy the store away, then: rhizome verify --repair (with --from DIR, if there is a backup)"
	}
	return control.NewError(control.Damaged, plural(left, "thing is damaged", "things are damaged"), hint)
}
