package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/when"
)

func newRestore(a *app) *cobra.Command {
	var q control.RestoreRequest
	var at string
	t := &tally{app: a, verb: "restore"}
	cmd := &cobra.Command{
		Use:   "restore PATH[@TIME]",
		Short: "Bring a file or a directory back as it was at a time, or as it last was",
		Long: `Make PATH what it was at TIME: a file, or a directory with all that was in it. Without TIME, what was deleted comes back as
it last was, and a file gets the version before its present one. TIME is ` + when.Forms + `,
or the name of a snapshot.

It is an edit like any other: what is there now stays in the history, and rhizome undo takes the restore back. What came
into a directory later stays, unless --exact is given. A name that ends like @2h needs --at.`,
		Args: argsBetween(1, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var path string
			path, q.At = pathAndTime(args[0], at, time.Now())
			if q.Path, err = resolve(path); err != nil {
				return err
			}
			q.DryRun = t.dry
			err = restored(cmd.Context(), t, q.Path, control.RestoreRoute, q)
			if i := strings.LastIndexByte(path, '@'); i > 0 && q.At == nil && control.CodeOf(err) == control.NotFound {
				return control.Fail(control.NotFound, err, fmt.Sprintf("if %s is meant to be a time: write %s", control.Name(path[i+1:]), when.Forms))
			}
			return err
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "the time, instead of @TIME")
	cmd.Flags().BoolVar(&q.Exact, "exact", false, "also remove what was not there then, and rename back what was renamed")
	t.flags(cmd)
	return cmd
}

// pathAndTime takes PATH@TIME apart. A path that is there as it stands has no time.
func pathAndTime(arg, at string, now time.Time) (path string, w *control.When) {
	path = arg
	if i := strings.LastIndexByte(arg, '@'); at == "" && i > 0 && !strings.Contains(arg[i:], "/") {
		_, whole := os.Lstat(arg)
		_, part := os.Lstat(arg[:i])
		_, bad := when.Parse(arg[i+1:], now)
		if whole != nil && (part == nil || bad == nil) {
			path, at = arg[:i], arg[i+1:]
		}
	}
	if at == "" {
		return path, nil
	}
	return path, whenOf(at, now)
}

// whenOf reads a time, or takes it for the name of a snapshot: those are never written like times.
func whenOf(s string, now time.Time) *control.When {
	if t, err := when.Parse(s, now); err == nil {
		return &control.When{Time: &t}
	}
	return &control.When{Snapshot: s}
}

// showAtMost is how many of the things that were done are named for a person who does not ask for all.
const showAtMost = 20

// A tally says what a restore or an undo does, and counts it.
type tally struct {
	*app
	verb     string
	path     string
	dry, all bool
	counts   map[string]int64
	shown    int
}

// flags adds the flags that both have.
func (t *tally) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&t.dry, "dry-run", "n", false, "only say what would be done")
	cmd.Flags().BoolVarP(&t.all, "verbose", "v", false, "name everything, however much it is")
}

// restored follows what a restore or an undo does to a path, and says it.
func restored[Q any](ctx context.Context, t *tally, path control.Name, route control.StreamRoute[Q, control.Restored], q Q) error {
	t.path, t.counts = string(path), map[string]int64{}
	err := t.ask(ctx, func(c *control.Client) error { return control.Follow(ctx, c, route, q, t.take) })
	if !t.json && (err == nil || len(t.counts) > 0) {
		t.sum()
	}
	if err != nil {
		return err
	}
	if n := t.counts["skip"]; n > 0 {
		return control.Fail(control.Failed, fmt.Errorf("%s: %s left as they are", t.verb, plural(n, "thing was", "things were")), "the rest is done")
	}
	return nil
}

// take prints one thing that was done.
func (t *tally) take(r control.Restored) error {
	if t.json {
		if r.What == "skip" {
			t.counts[r.What]++
		}
		return t.object(r)
	}
	switch r.What {
	case "moment":
		t.printf("%s as of %s:\n", r.Path, r.Time.Local().Format("2006-01-02 15:04:05.000"))
		return nil
	case "skip":
		t.note("%s: left as it is: %s", r.Path, r.Why)
	}
	t.counts[r.What]++
	if t.shown++; r.What == "skip" || t.shown > showAtMost && !t.all {
		return nil
	}
	line := fmt.Sprintf("  %-8s %s", r.What, r.Path)
	if r.From != "" {
		line = fmt.Sprintf("  %-8s %s -> %s", r.What, r.From, r.Path)
	}
	if r.Bytes != nil {
		line += fmt.Sprintf(" (%s)", size(*r.Bytes))
	}
	_, err := fmt.Fprintln(t.out, line)
	return err
}

// sum says how much it was.
func (t *tally) sum() {
	var done int64
	var parts []string
	for _, w := range []struct{ what, did string }{{"restore", "restored"}, {"change", "changed back"}, {"rename", "renamed back"}, {"remove", "removed"}} {
		if n := t.counts[w.what]; n > 0 {
			done += n
			parts = append(parts, control.Grouped(n)+" "+w.did)
		}
	}
	if more := done - showAtMost; more > 0 && !t.all {
		t.printf("  ... and %s more\n", control.Grouped(more))
	}
	switch {
	case done == 0:
		t.printf("There is nothing to do.\n")
	case t.dry:
		t.printf("Nothing was changed; it would be: %s.\n", strings.Join(parts, ", "))
	default:
		undo := []string{"undo"}
		if t.path != "" {
			undo = append(undo, t.path)
		}
		t.printf("Done: %s. To take this back: %s\n", strings.Join(parts, ", "), t.command(undo...))
	}
}
