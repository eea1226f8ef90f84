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

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/daemon"
)

// phraseWords is how many words a recovery phrase has, maxPhrase how many bytes are read for them at most.
const (
	phraseWords = 24
	maxPhrase   = 4096
)

func newRecover(a *app) *cobra.Command {
	var q daemon.RecoverRequest
	var file string
	cmd := &cobra.Command{
		Use:   "recover --from DIR",
		Short: "Bring an identity back from its recovery phrase and a backup",
		Long: `Bring back everything that the backup in DIR has of the identity whose recovery phrase you give: volumes, files, names and the whole
history. It needs no network, and no store: on a new machine it makes one. Then: rhizome mount.

On a terminal it asks for the 24 words; else give them with --phrase-file (- is standard input). The phrase says which identity of
the backup is meant. This machine becomes a new device of the identity; it does not keep the words. An identity that is here already is
never touched. What is interrupted can be done again.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.From == "" {
				return asUsage(errors.New("--from DIR is missing"))
			}
			from, err := filepath.Abs(q.From)
			if err != nil {
				return err
			}
			q.From = from
			if q.Words, err = a.readPhrase(file); err != nil {
				return err
			}
			ctx, stop := untilSignalled(cmd.Context(), func() {})
			defer stop()
			return a.recover(ctx, q)
		},
	}
	cmd.Flags().StringVar(&q.From, "from", "", "the backup's directory")
	cmd.Flags().StringVar(&file, "phrase-file", "", "read the words from FILE; - is standard input")
	cmd.Flags().StringVar(&q.Name, "name", "", "what the identity's directory is to be called (default: as it was)")
	cmd.Flags().BoolVar(&q.Partial, "partial", false, "if the backup is damaged, recover what is whole")
	return cmd
}

func (a *app) recover(ctx context.Context, q daemon.RecoverRequest) error {
	keepSecretsInMemory()
	home, err := a.home()
	if err != nil {
		return err
	}
	p := a.newProgress("recover")
	res, err := daemon.Recover(ctx, daemon.Options{Home: home, Version: version()}, q, p.update)
	p.end()
	if err = interrupted(ctx, err, "nothing shows yet; do it again, and it goes on"); err != nil {
		return err
	}
	if a.json {
		return a.object(res)
	}
	a.printf("%s is back as of %s: %s, %s (%s)\n", control.Name(res.Identity.Name), localTime(res.AsOf),
		plural(int64(res.Volumes), "volume", "volumes"), size(res.Bytes), plural(res.Frames, "frame", "frames"))
	for _, d := range res.Damaged {
		a.note("not recovered: %s", control.Name(d))
	}
	if n := int64(res.MissingVersions); n > 0 {
		a.note("%s had been damaged when the backup was made, and can't be read", plural(n, "version of a file", "versions of files"))
	}
	for _, name := range res.LostSnapshots {
		a.note("not recovered: the snapshot %s", name)
	}
	for _, g := range res.Gaps {
		what := "a checkpoint has what came before"
		if g.Early {
			what = "before, events are missing, and a checkpoint has what they said"
		}
		a.note("log of volume %s: whole since %s; %s", g.Volume, localTime(g.Until), what)
	}
	a.printf("Mount it: %s\n", a.command("mount"))
	return nil
}

// readPhrase reads the words from a file, or asks for them.
func (a *app) readPhrase(file string) (control.Words, error) {
	switch {
	case file == "-":
		return readWords(io.LimitReader(a.in, maxPhrase))
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read the phrase: %w", err)
		}
		defer f.Close()
		return readWords(io.LimitReader(f, maxPhrase))
	case !a.inTerminal:
		return "", asUsage(errors.New("there is no terminal to ask for the recovery phrase: --phrase-file FILE is missing"))
	}
	a.note("type the %d words of the recovery phrase, on one line or on several:", phraseWords)
	return readWords(io.LimitReader(a.in, maxPhrase))
}

// readWords reads up to so many words as a phrase has.
func readWords(r io.Reader) (control.Words, error) {
	in := bufio.NewScanner(r)
	in.Split(bufio.ScanWords)
	var words []string
	for len(words) < phraseWords && in.Scan() {
		words = append(words, in.Text())
	}
	if err := in.Err(); err != nil {
		return "", fmt.Errorf("read the phrase: %w", err)
	}
	return control.Words(strings.Join(words, " ")), nil
}
