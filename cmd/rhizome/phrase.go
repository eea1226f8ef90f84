package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/daemon"
)

// askedWords is how many words of the phrase a person at a terminal is asked for.
const askedWords = 4

func newPhrase(a *app) *cobra.Command {
	var forget bool
	cmd := &cobra.Command{
		Use:   "phrase [NAME]",
		Short: "Print an identity's recovery phrase, or remove it from this device",
		Long: `Print the 24 words that bring an identity back when every device is lost. Whoever has them has
everything: write them down on paper, and keep it safe.

With --forget the words are asked back, and then the root secret is removed from this device. On a terminal
a few of them are enough; else all are read from standard input. Nothing brings them back but your paper.`,
		Args: argsBetween(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.oneIdentity(cmd.Context(), args)
			if err != nil {
				return err
			}
			if forget {
				return a.forget(cmd.Context(), name)
			}
			p, err := a.phrase(cmd.Context(), name)
			if err != nil {
				return err
			}
			return a.printPhrase(p)
		},
	}
	cmd.Flags().BoolVar(&forget, "forget", false, "remove the root secret from this device, after asking the words back")
	return cmd
}

// oneIdentity is the identity that was named, or the only one.
func (a *app) oneIdentity(ctx context.Context, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	ids, err := a.identities(ctx)
	if err != nil {
		return "", err
	}
	switch len(ids) {
	case 0:
		return "", control.NewError(control.NotFound, "there is no identity yet", "make the first with: rhizome mount")
	case 1:
		return ids[0].Name, nil
	}
	var names []string
	for _, id := range ids {
		names = append(names, control.Name(id.Name).String())
	}
	return "", control.NewError(control.Usage, "there are several identities", "name one: "+strings.Join(names, ", "))
}

// phrase asks the daemon, or without one reads the store.
func (a *app) phrase(ctx context.Context, name string) (control.Phrase, error) {
	p, err := question(ctx, a, control.PhraseRoute, control.PhraseRequest{Identity: name})
	if control.CodeOf(err) != control.NoDaemon {
		return p, err
	}
	home, err := a.home()
	if err != nil {
		return p, err
	}
	return daemon.Phrase(home, name)
}

// printPhrase prints the words as the last line.
func (a *app) printPhrase(p control.Phrase) error {
	if a.json {
		return a.object(p)
	}
	a.note("whoever has these words has everything of %s: write them down and keep them safe", control.Name(p.Identity))
	a.printf("%s\n", p.Words.Reveal())
	return nil
}

// showPhrase is for the moment in which an identity was made: the words themselves on a terminal only,
// else how to see them.
func (a *app) showPhrase(ctx context.Context, name string) error {
	if !a.outTerminal {
		a.printf("Write down its recovery phrase: %s\n", a.command("identity", "phrase", name))
		return nil
	}
	p, err := a.phrase(ctx, name)
	if err != nil {
		return err
	}
	a.showWords(p.Words)
	return nil
}

// showWords prints the words in numbered rows, which are easier to copy by hand.
func (a *app) showWords(w control.Words) {
	a.printf("\nThis is your recovery phrase. It brings everything back when every device is lost, and whoever has it\n"+
		"has everything: write it down on paper now. (Later: %s)\n\n", a.command("identity", "phrase"))
	const perRow = 6
	for i, word := range strings.Fields(w.Reveal()) {
		a.printf("%4d %-9s", i+1, word)
		if (i+1)%perRow == 0 {
			a.printf("\n")
		}
	}
	a.printf("\n")
}

// forget asks the words back and removes the root secret.
func (a *app) forget(ctx context.Context, name string) error {
	p, err := a.phrase(ctx, name)
	if err != nil {
		return err
	}
	if err := a.askBack(p.Words); err != nil {
		return err
	}
	_, err = question(ctx, a, control.ForgetRoute, control.ForgetRequest(p))
	if control.CodeOf(err) == control.NoDaemon {
		var home string
		if home, err = a.home(); err == nil {
			err = daemon.Forget(home, name, p.Words)
		}
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.object(map[string]string{"identity": name, "phrase": "forgotten"})
	}
	a.printf("The root secret of %s is no longer on this device. Keep the words.\n", control.Name(name))
	return nil
}

// askBack makes sure that whoever asks has the words: some of them on a terminal, else all of them.
func (a *app) askBack(w control.Words) error {
	words := strings.Fields(w.Reveal())
	in := bufio.NewScanner(a.in)
	wrong := control.NewError(control.Failed, "these are not the words of the phrase", "nothing was removed")
	if !a.inTerminal {
		var given []string
		for in.Scan() {
			given = append(given, strings.Fields(strings.ToLower(in.Text()))...)
		}
		if in.Err() == nil && slices.Equal(given, words) {
			return nil
		}
		return wrong
	}
	a.note("show that you have written the phrase down: type these words of it")
	places := rand.Perm(len(words))[:min(askedWords, len(words))]
	slices.Sort(places)
	for _, i := range places {
		_, _ = fmt.Fprintf(a.err, "  word %d: ", i+1)
		if !in.Scan() {
			return errors.Join(wrong, in.Err())
		}
		if strings.ToLower(strings.TrimSpace(in.Text())) != words[i] {
			return wrong
		}
	}
	return nil
}
