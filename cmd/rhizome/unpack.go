package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/daemon"
)

// maxLink is how many bytes are read for a link at most.
const maxLink = 4096

func newUnpack(a *app) *cobra.Command {
	var dir, key string
	cmd := &cobra.Command{
		Use:   "unpack FILE.car --dir DIR [--key-file FILE]",
		Short: "Copy a sealed export to ordinary files",
		Long: `Copy what "rhizome export PATH -o FILE.car" has sealed to ordinary files in DIR, which is made: with modes, times, extended attributes, hard
links, symbolic links and holes, and owners if you are root. It needs the file's link, and neither a store nor an identity.

The link is read from --key-file, or from standard input. Every block is checked before anything is written; DIR has its name when it is whole.`,
		Args: argsBetween(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				return asUsage(errors.New("--dir DIR is missing"))
			}
			abs, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			link, err := a.readLink(key)
			if err != nil {
				return err
			}
			ctx, stop := untilSignalled(cmd.Context(), func() {})
			defer stop()
			return interrupted(ctx, a.unpack(ctx, args[0], link, abs), "nothing is left of it")
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write ordinary files to DIR")
	cmd.Flags().StringVar(&key, "key-file", "", "read the link from FILE (default: standard input)")
	return cmd
}

// readLink reads a line from a file, or from standard input.
func (a *app) readLink(file string) (string, error) {
	in := a.in
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read the link: %w", err)
		}
		defer f.Close()
		in = f
	} else if a.inTerminal {
		a.note("type the link that the export printed:")
	}
	line := bufio.NewScanner(io.LimitReader(in, maxLink))
	line.Scan()
	if err := line.Err(); err != nil {
		return "", fmt.Errorf("read the link: %w", err)
	}
	return strings.TrimSpace(line.Text()), nil
}

func (a *app) unpack(ctx context.Context, file, link, dir string) error {
	p := a.newProgress("unpack")
	defer p.end()
	res, err := daemon.Unpack(ctx, file, link, dir, p.update)
	p.end()
	if err != nil {
		return err
	}
	res.Root = "" // it is known
	return a.printExport(res)
}
