package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/when"
)

func newDiff(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "diff PATH TIME [TIME]",
		Short: "List what was added, removed, changed and renamed at and below PATH since a time, or between two",
		Long: `List which names at and below PATH were added, removed, changed (their content), renamed, or given other attributes between the
first TIME and the second, or now. TIME is ` + when.Forms + `,
or the name of a snapshot.
For what is in the files, compare them: diff -r PATH/.at/TIME PATH`,
		Args: argsBetween(2, 3),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			now := time.Now()
			q := control.DiffRequest{From: *whenOf(args[1], now)}
			if len(args) == 3 {
				q.To = whenOf(args[2], now)
			}
			if q.Path, err = resolve(args[0]); err != nil {
				return err
			}
			return answers(cmd.Context(), a, control.DiffRoute, q, false, func(lines *output, d control.Difference) {
				lines.printf("%s\n", diffLine(d))
			})
		},
	}
}

// diffLine is d for a person.
func diffLine(d control.Difference) string {
	s := fmt.Sprintf("%-10s %s", d.What, d.Path)
	if d.From != "" {
		s = fmt.Sprintf("%-10s %s -> %s", d.What, d.From, d.Path)
	}
	switch {
	case d.Was != nil && d.Bytes != nil:
		s += fmt.Sprintf(" (%s, was %s)", size(*d.Bytes), size(*d.Was))
	case d.Bytes != nil && d.What != "renamed" && d.What != "attributes":
		s += fmt.Sprintf(" (%s)", size(*d.Bytes))
	}
	return s
}
