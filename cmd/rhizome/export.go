package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/daemon"
)

// exportFlags are the flags of export.
type exportFlags struct {
	at, dir, file string
	key           string // where a sealed export's link goes; "": to stdout
	plain         bool
}

func newExport(a *app) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export PATH (--dir DIR | -o FILE.car [--plain | --key-file FILE])",
		Short: "Copy a file or directory out: as ordinary files, as a CAR that IPFS's tools unpack, or sealed",
		Long: `Copy PATH and all below it out of Rhizome as it is now, or with --at as it was at a time or in a snapshot.

  --dir DIR              ordinary files in DIR, which is made: modes, times, extended attributes, hard links, symbolic links and holes are kept, and
                         owners if you are root. If PATH is a file, it comes into DIR under its name
  -o FILE.car --plain    UnixFS with mode and mtime in a CARv1 file, which IPFS's tools unpack; its root's CID is printed. The same tree gives the same
                         file, to the byte. Owners, attributes and hard links are not in UnixFS, nor are sockets, fifos, device nodes and names that are not UTF-8

  -o FILE.car            a snapshot of PATH as a CARv1 file of sealed blocks, which nobody reads without its link: the root's CID and a key, printed, or
                         written to --key-file (mode 0600). Whoever has the link can read all of it, and nothing else. PATH is in one volume, and has none in it

What is written gets its name when it is whole. While no daemon runs, PATH is given as it would be below ~/Rhizome: me/notes.`,
		Args: argsBetween(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := f.request()
			if err != nil {
				return asUsage(err)
			}
			ctx, stop := untilSignalled(cmd.Context(), func() {})
			defer stop()
			return interrupted(ctx, a.export(ctx, args[0], q, f.key), "nothing is left of the export")
		},
	}
	cmd.Flags().StringVar(&f.at, "at", "", "as it was at TIME (2h, yesterday, 2026-11-25, ...), or in the snapshot of that name")
	cmd.Flags().StringVar(&f.dir, "dir", "", "write ordinary files to DIR")
	cmd.Flags().StringVarP(&f.file, "output", "o", "", "write a CAR to FILE")
	cmd.Flags().BoolVar(&f.plain, "plain", false, "with -o: in the clear, for IPFS's tools")
	cmd.Flags().StringVar(&f.key, "key-file", "", "with -o, sealed: write the link to FILE instead of printing it")
	return cmd
}

func (f exportFlags) request() (q control.ExportRequest, err error) {
	switch {
	case (f.dir == "") == (f.file == ""):
		return q, errors.New("give one of --dir and -o")
	case f.plain && f.file == "":
		return q, errors.New("--plain goes with -o FILE")
	case f.key != "" && (f.plain || f.file == ""):
		return q, errors.New("--key-file goes with -o FILE, without --plain")
	}
	q.At, q.Sealed = f.at, f.file != "" && !f.plain
	if f.plain {
		q.Mode = newFileMode()
	}
	for _, target := range []struct {
		name string
		to   *control.Name
	}{{f.dir, &q.Dir}, {f.file, &q.File}} {
		if target.name == "" {
			continue
		}
		abs, err := filepath.Abs(target.name)
		if err != nil {
			return q, err
		}
		*target.to = control.Name(abs)
	}
	return q, nil
}

// export has the daemon write, or without one opens the store for it.
func (a *app) export(ctx context.Context, path string, q control.ExportRequest, keyFile string) (err error) {
	p := a.newProgress("export")
	defer p.end()
	var res control.ExportResult
	tell := func(e control.ExportEvent) error {
		if e.Progress != nil {
			p.update(*e.Progress)
		}
		if e.Result != nil {
			res = *e.Result
		}
		return nil
	}
	if q.Path, err = resolve(path); err != nil {
		return err
	}
	err = a.ask(ctx, func(c *control.Client) error { return control.Follow(ctx, c, control.ExportRoute, q, tell) })
	if control.CodeOf(err) == control.NoDaemon {
		err = a.exportOffline(ctx, path, q, tell)
	}
	p.end()
	if err != nil {
		return err
	}
	if keyFile != "" {
		if err := writeSecret(keyFile, res.Link+"\n"); err != nil {
			return err
		}
		res.Link = ""
	}
	return a.printExport(res)
}

// newFileMode is what a file gets that a person makes for others: all but what the umask takes.
func newFileMode() uint32 {
	old := unix.Umask(0o077) // it is read by setting it
	unix.Umask(old)
	return 0o666 &^ uint32(old)
}

// writeSecret makes a file that only its owner can read.
func writeSecret(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the key: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// exportOffline opens the store. A path that is not below where a mount would be is one from its top.
func (a *app) exportOffline(ctx context.Context, path string, q control.ExportRequest, tell func(control.ExportEvent) error) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	base, err := a.mountDir(nil)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(path) {
		q.Path = control.Name(filepath.Join(base, path))
	}
	return daemon.Export(ctx, daemon.Options{Home: home, Version: version()}, base, q, tell)
}

func (a *app) printExport(r control.ExportResult) error {
	if a.json {
		if err := a.object(r); err != nil {
			return err
		}
	} else if r.Link != "" {
		a.note("whoever has this link can read all that is in %s", r.To)
		a.printf("%s\n", r.Link)
	} else if r.Root != "" {
		a.printf("%s\n", r.Root)
	} else {
		a.printf("%s is in %s: %s, %s\n", r.Path, r.To, plural(r.Files, "file", "files"), size(r.Bytes))
	}
	for _, m := range r.Missed {
		a.note("not exported: %s: %s", m.Path, m.Why)
	}
	if more := r.MissedCount - int64(len(r.Missed)); more > 0 {
		a.note("and %s more", control.Grouped(more))
	}
	if r.Damaged {
		return control.Fail(control.Damaged, fmt.Errorf("damaged files were left out"), "see: "+a.command("verify"))
	}
	return nil
}
