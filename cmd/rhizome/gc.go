package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
)

func newGC(a *app) *cobra.Command {
	var q control.GCRequest
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Drop history that is kept no longer, and give its space back, now rather than later",
		Long: `Drop history that is kept no longer (see: rhizome retention), and blocks that nothing needs. This happens by itself in
the background, and slowly; gc does it at once. Of the log itself, too, what is older than the time for which everything is
kept goes: a checkpoint has what it led to. What is shown now, and what a snapshot has, is never dropped.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.gc(cmd.Context(), q) },
	}
	cmd.Flags().BoolVar(&q.Dry, "dry-run", false, "only say what would go")
	return cmd
}

func (a *app) gc(ctx context.Context, q control.GCRequest) error {
	var did control.GCAnswer
	err := a.ask(ctx, func(c *control.Client) (err error) {
		did, err = control.Call(ctx, c, control.GCRoute, q)
		return err
	})
	if err != nil {
		return err
	}
	if a.json {
		return a.object(did)
	}
	verb := "Dropped"
	if q.Dry {
		verb = "Would drop"
	}
	a.printf("%s %s versions of files (%s) and %s records of history (%s).\n", verb, control.Grouped(int64(did.Versions)),
		size(did.VersionBytes), control.Grouped(int64(did.Records)), size(did.RecordBytes))
	if did.Frames > 0 {
		a.printf("%s %s old frames of the log (%s): a checkpoint has what they led to.\n", verb, control.Grouped(int64(did.Frames)), size(did.FrameBytes))
	}
	if q.Dry {
		a.printf("Besides, %s of blocks are needed by nothing.\n", size(did.Garbage))
	} else {
		a.printf("The disk got %s back.\n", size(did.Freed))
	}
	return nil
}
