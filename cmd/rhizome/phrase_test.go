package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/rhizome-fs/rhizome/internal/control"
)

const samplePhrase = "abandon ability able about above absent absorb abstract absurd abuse access accident " +
	"account accuse achieve acid acoustic acquire across act action actor actress actual"

// serveIdentities gives the user a daemon with identities of those names, and counts what it forgets.
func serveIdentities(u *user, names ...string) (forgotten *int) {
	forgotten = new(int)
	u.serve(version(), func(s *control.Server) {
		control.Handle(s, control.IdentityList, func(context.Context, struct{}) (ids []control.Identity, err error) {
			for _, n := range names {
				ids = append(ids, control.Identity{Name: n, ID: "did:key:" + n, HasPhrase: true})
			}
			return ids, nil
		})
		control.Handle(s, control.PhraseRoute, func(_ context.Context, q control.PhraseRequest) (control.Phrase, error) {
			return control.Phrase{Identity: q.Identity, Words: samplePhrase}, nil
		})
		control.Handle(s, control.ForgetRoute, func(_ context.Context, q control.ForgetRequest) (control.Identity, error) {
			if q.Words != samplePhrase {
				return control.Identity{}, control.NewError(control.Usage, "wrong words", "")
			}
			*forgotten++
			return control.Identity{Name: q.Identity}, nil
		})
		control.Handle(s, control.IdentityNew, func(_ context.Context, q control.IdentityNewRequest) (control.Identity, error) {
			return control.Identity{Name: q.Name, ID: "did:key:" + q.Name, HasPhrase: true}, nil
		})
	})
	return forgotten
}

func TestPhraseIsTheLastLine(t *testing.T) {
	u := newUser(t)
	serveIdentities(u, "me")
	r := u.run("identity", "phrase")
	r.want(t, exitOK, samplePhrase+"\n", "write them down")
	if !strings.HasSuffix(r.out, "\n"+samplePhrase+"\n") && r.out != samplePhrase+"\n" || strings.Contains(r.err, "abandon") {
		t.Errorf("%+v", r)
	}
	u.run("identity", "phrase", "--json").want(t, exitOK, `{"identity":"me","phrase":"abandon `, "")
}

func TestPhraseOfSeveral(t *testing.T) {
	u := newUser(t)
	serveIdentities(u, "me", "work")
	u.run("identity", "phrase").want(t, exitUsage, "", "name one: me, work")
	u.run("identity", "phrase", "work").want(t, exitOK, samplePhrase, "")
	u.run("identity", "list").want(t, exitOK, "work  did:key:work  its phrase is on this device\n", "")
	if r := u.run("identity", "list", "--json"); strings.Count(r.out, "\n") != 2 {
		t.Errorf("one JSON object a line: %q", r.out)
	}
}

func TestNewIdentityShowsWordsOnATerminalOnly(t *testing.T) {
	u := newUser(t)
	serveIdentities(u, "me")
	if r := u.run("identity", "new", "work"); strings.Contains(r.out+r.err, "abandon") || !strings.Contains(r.out, "rhizome identity phrase work") {
		t.Errorf("no terminal: %+v", r)
	}
	u.terminal = true
	u.run("identity", "new", "work").want(t, exitOK, "   1 abandon", "")
}

func TestForgetWithoutTerminalWantsAllWords(t *testing.T) {
	u := newUser(t)
	forgotten := serveIdentities(u, "me")
	for _, typed := range []string{"", "abandon", strings.Replace(samplePhrase, "able", "zoo", 1), samplePhrase + " zoo"} {
		u.typed = typed
		u.run("identity", "phrase", "--forget").want(t, exitFailed, "", "not the words of the phrase; nothing was removed")
	}
	if *forgotten != 0 {
		t.Fatal("forgotten without the words")
	}
	u.typed = strings.ReplaceAll(strings.ToUpper(samplePhrase), " ", " \n ")
	u.run("identity", "phrase", "--forget").want(t, exitOK, "no longer on this device", "")
	if *forgotten != 1 {
		t.Error("not forgotten")
	}
}

// A promptedTyper answers "word N:" prompts that are printed to it, as a person at a terminal does.
type promptedTyper struct {
	answer  func(n int) string
	pending string
	asked   int
}

func (p *promptedTyper) Write(b []byte) (int, error) {
	var n int
	if _, err := fmt.Sscanf(string(b), "  word %d: ", &n); err == nil {
		p.pending += p.answer(n) + "\n"
		p.asked++
	}
	return len(b), nil
}

func (p *promptedTyper) Read(b []byte) (int, error) {
	n := copy(b, p.pending)
	p.pending = p.pending[n:]
	return n, nil
}

func TestForgetOnATerminalAsksSomeWords(t *testing.T) {
	words := strings.Fields(samplePhrase)
	right := &promptedTyper{answer: func(n int) string { return " " + strings.ToUpper(words[n-1]) }}
	wrong := &promptedTyper{answer: func(int) string { return "zoo" }}
	for typer, want := range map[*promptedTyper]int{right: askedWords, wrong: 1} {
		a := &app{output: output{stdio: stdio{in: typer, err: typer, inTerminal: true}}}
		err := a.askBack(samplePhrase)
		if typer.asked != want || (err == nil) != (typer == right) {
			t.Errorf("asked %d words, want %d: %v", typer.asked, want, err)
		}
	}
}
