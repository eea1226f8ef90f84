package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/when"
)

func newUndo(a *app) *cobra.Command {
	var q control.UndoRequest
	var since string
	t := &tally{app: a, verb: "undo"}
	cmd := &cobra.Command{
		Use:   "undo [PATH]",
		Short: "Take back the last change, or everything since a time: of everything, or what is below PATH",
		Long: `Take back what was done to PATH and what is below it: what was deleted is there again, what was changed is as it was, what was
renamed has its name again, what was made is gone. Without --since it is the last change: all that came one after the other
with less than two seconds in between. --since TIME takes back all since then, whichever device did it. TIME is
` + when.Forms + `,
or the name of a snapshot.

It is an edit like any other: what it takes back stays in the history, and a second undo takes back the first.`,
		Args: argsBetween(0, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if since != "" {
				q.Since = whenOf(since, time.Now())
			}
			if len(args) > 0 {
				if q.Path, err = resolve(args[0]); err != nil {
					return err
				}
			}
			q.DryRun = t.dry
			return restored(cmd.Context(), t, q.Path, control.UndoRoute, q)
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "take back everything since this time")
	t.flags(cmd)
	return cmd
}
