package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
)

func newLog(a *app) *cobra.Command {
	var q control.LogRequest
	cmd := &cobra.Command{
		Use:   "log [PATH]",
		Short: "Print who changed what and when, oldest first: in all volumes, or the one that PATH is in",
		Args:  argsBetween(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if q.Last < 0 {
				return asUsage(errors.New("-n wants a number that is not negative"))
			}
			w, _, err := a.where(cmd.Context(), args)
			if err != nil {
				return err
			}
			q.Volume = w.Volume
			return a.log(cmd.Context(), q)
		},
	}
	cmd.Flags().BoolVarP(&q.Follow, "follow", "f", false, "go on with what happens from now, until interrupted")
	cmd.Flags().IntVarP(&q.Last, "lines", "n", 0, "the last N entries only (0: all)")
	return cmd
}

func (a *app) log(ctx context.Context, q control.LogRequest) error {
	return answers(ctx, a, control.LogRoute, q, q.Follow, func(lines *output, e control.LogEntry) {
		lines.printf("%s\n", logLine(e))
		if e.MassDeletion != nil {
			lines.printf("  ! %s\n", a.massLine(*e.MassDeletion))
		}
	})
}

// logLine is e for a person: when, who, what, where.
func logLine(e control.LogEntry) string {
	s := fmt.Sprintf("%s  %s  %-8s %s", localTime(e.Time), control.Name(e.Who), e.What, e.Path)
	if e.To != "" {
		s += " -> " + e.To.String()
	}
	if e.Bytes != nil {
		s += fmt.Sprintf(" (%s)", size(*e.Bytes))
	}
	if e.Tentative {
		s += " [tentative]"
	}
	return s
}
