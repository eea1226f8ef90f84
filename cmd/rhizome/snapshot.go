package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
)

func newSnapshot(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Keep a volume as it is now, under a name",
		Long: `A snapshot keeps a volume as it is now, under a name, until the name is deleted: whatever retention says, the directory
.at/NAME shows it in every directory of the volume. Making one takes a moment and little space: it shares all that has not changed.

A snapshot is a DAG of sealed blocks under one root. Devices that have the same events have the same root. If the
order does not have all of the events yet, the snapshot is tentative.

The volume is that of PATH, or of the working directory.`,
	}
	return group(cmd, newSnapshotCreate(a), newSnapshotList(a), newSnapshotDelete(a))
}

func newSnapshotCreate(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "create NAME [PATH]",
		Short: "Keep a volume as it is now",
		Args:  argsBetween(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := a.volumeOf(cmd.Context(), args[1:])
			if err != nil {
				return err
			}
			var s control.Snapshot
			err = a.ask(cmd.Context(), func(c *control.Client) (err error) {
				s, err = control.Call(cmd.Context(), c, control.SnapshotCreate, control.SnapshotRequest{Volume: w.Volume, Name: args[0]})
				return err
			})
			if err != nil {
				return err
			}
			if a.json {
				return a.object(s)
			}
			a.printf("Snapshot %s of %s: %s, %s%s\n", control.Name(s.Name), s.Label, plural(s.Files, "name", "names"), size(s.Bytes), tentative(s))
			return nil
		},
	}
}

func tentative(s control.Snapshot) string {
	if s.Tentative {
		return "; tentative: the order does not have all of it yet"
	}
	return ""
}

func newSnapshotList(a *app) *cobra.Command {
	var keys bool
	cmd := &cobra.Command{
		Use:   "list [PATH]",
		Short: "List the snapshots of a volume; of all of them outside of the mount",
		Args:  argsBetween(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := a.volumeOf(cmd.Context(), args)
			if err != nil && (len(args) > 0 || control.CodeOf(err) != control.NotFound) {
				return err
			}
			ss, err := question(cmd.Context(), a, control.SnapshotList, control.SnapshotListRequest{Volume: w.Volume, Keys: keys})
			if err != nil {
				return err
			}
			if !a.json && len(ss) > 0 {
				ss = append([]control.Snapshot{{}}, ss...) // the heading
			}
			return list(&a.output, ss, func(s control.Snapshot) string {
				if s.Name == "" {
					return "NAME\tVOLUME\tTIME\tNAMES\tSIZE\tROOT"
				}
				row := control.Name(s.Name).String() + "\t" + s.Label.String() + "\t" + localTime(s.Time) + "\t" + control.Grouped(s.Files) + "\t" + size(s.Bytes) + "\t"
				if s.Link != "" {
					row += s.Link
				} else {
					row += s.Root
				}
				if s.Tentative {
					row += " [tentative]"
				}
				return row
			})
		},
	}
	cmd.Flags().BoolVar(&keys, "show-key", false, "show the root as a link: its CID with the key that opens all of the snapshot. Whoever has it can read it")
	return cmd
}

func newSnapshotDelete(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME [PATH]",
		Short: "Forget a snapshot; what only it kept goes with the next collection",
		Args:  argsBetween(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := a.volumeOf(cmd.Context(), args[1:])
			if err != nil {
				return err
			}
			s, err := question(cmd.Context(), a, control.SnapshotDelete, control.SnapshotRequest{Volume: w.Volume, Name: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.object(s)
			}
			a.printf("Deleted snapshot %s of %s\n", control.Name(s.Name), s.Label)
			return nil
		},
	}
}

// volumeOf asks which volume a path is in, or without one the working directory.
func (a *app) volumeOf(ctx context.Context, args []string) (control.Where, error) {
	if len(args) == 0 {
		dir, err := os.Getwd()
		if err != nil {
			return control.Where{}, err
		}
		args = []string{dir}
	}
	w, _, err := a.where(ctx, args)
	if err == nil && w.Volume == "" {
		err = control.Fail(control.NotFound, errors.New(args[0]+" is in no volume"), "name a path in a volume")
	}
	return w, err
}
