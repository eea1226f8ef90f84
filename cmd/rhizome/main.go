package main

import (
	"context"
	"io"
	"os"

	"golang.org/x/term"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], stdio{
		in:          os.Stdin,
		out:         os.Stdout,
		err:         os.Stderr,
		inTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		outTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		errTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		self:        callable(os.Args[0]),
	}, os.Getenv))
}

// stdio is what a command reads and prints to.
type stdio struct {
	in       io.Reader
	out, err io.Writer
	// Whether a person is at the other end.
	inTerminal, outTerminal, errTerminal bool
	self                                 string // what a person types to run this program; empty: rhizome
}

// run is the whole program but for the process around it: it returns the exit code.
func run(ctx context.Context, args []string, std stdio, getenv func(string) string) int {
	a := &app{output: output{stdio: std}, getenv: getenv}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.started {
		err = asUsage(err) // cobra refused the arguments before any command ran
	}
	if err != nil {
		a.fail(err)
	}
	return exitCode(err)
}
