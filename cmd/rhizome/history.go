package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
)

func newHistory(a *app) *cobra.Command {
	var q control.HistoryRequest
	cmd := &cobra.Command{
		Use:   "history PATH",
		Short: "List every version of a file and what else happened to it, newest first; of a directory, which names came and went",
		Long: `List what happened to PATH, newest first: when, on which device, what, and how large it was then. PATH may have been deleted. A file
is followed through its renames, and the files that had its name before it are told of too. Of a directory it lists which
names came into it and went.`,
		Args: argsBetween(1, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if q.Last < 0 {
				return asUsage(errors.New("-n wants a number that is not negative"))
			}
			if q.Path, err = resolve(args[0]); err != nil {
				return err
			}
			return a.history(cmd.Context(), q)
		},
	}
	cmd.Flags().BoolVar(&q.Diff, "diff", false, "with what each edit changed in a text")
	cmd.Flags().IntVarP(&q.Last, "lines", "n", 0, "the last N entries only (0: all)")
	return cmd
}

func (a *app) history(ctx context.Context, q control.HistoryRequest) error {
	return answers(ctx, a, control.HistoryRoute, q, false, func(lines *output, e control.HistoryEntry) {
		lines.printf("%s\n", historyLine(e))
		switch {
		case e.Diff != "":
			lines.printf("%s\n", e.Diff)
		case e.NoDiff != "":
			lines.printf("(no diff: %s)\n\n", e.NoDiff)
		}
	})
}

// historyLine is e for a person: when, who, what, where.
func historyLine(e control.HistoryEntry) string {
	who := e.Who
	if who == "" {
		who = "?"
	}
	s := fmt.Sprintf("%s  %s  %-8s %s", localTime(e.Time), control.Name(who), e.What, e.Path)
	if e.From != "" {
		s = fmt.Sprintf("%s  %s  %-8s %s -> %s", localTime(e.Time), control.Name(who), e.What, e.From, e.Path)
	}
	if e.Bytes != nil {
		s += fmt.Sprintf(" (%s)", size(*e.Bytes))
	}
	return s
}
