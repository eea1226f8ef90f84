package main

import (
	"bufio"
	"context"
	"errors"
	"time"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// answerTime is how long a command waits for an answer that needs no work.
const answerTime = 20 * time.Second

// ask connects to the home's daemon for the time of fn, and tells the user if it is of another version.
func (a *app) ask(ctx context.Context, fn func(*control.Client) error) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	c, err := control.Dial(ctx, home, version())
	if control.CodeOf(err) == control.NoDaemon {
		return control.Fail(control.NoDaemon, err, "start one with: "+a.command("mount"))
	}
	if err != nil {
		return err
	}
	defer c.Close()
	err = fn(c)
	if v := c.DaemonVersion(); v != "" && v != version() {
		a.note("the daemon is of version %s and this command of version %s: restart the daemon to have one", v, version())
	}
	return err
}

// question asks the home's daemon one question that is answered at once.
func question[Q, A any](ctx context.Context, a *app, route control.Route[Q, A], q Q) (A, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var answer A
	err := a.ask(ctx, func(c *control.Client) (err error) {
		answer, err = control.Call(ctx, c, route, q)
		return err
	})
	return answer, err
}

// where asks what a path is; ok is false without a path.
func (a *app) where(ctx context.Context, args []string) (w control.Where, ok bool, err error) {
	if len(args) == 0 {
		return w, false, nil
	}
	path, err := resolve(args[0])
	if err != nil {
		return w, false, err
	}
	w, err = question(ctx, a, control.WhereRoute, control.WhereRequest{Path: path})
	return w, err == nil, err
}

// answers asks the home's daemon for something that comes piece by piece, and prints each piece: as JSON, or as show does. What is to be seen at once
// is not buffered.
func answers[Q, A any](ctx context.Context, a *app, route control.StreamRoute[Q, A], q Q, atOnce bool, show func(lines *output, e A)) error {
	lines := &output{stdio: a.stdio, json: a.json}
	flush := func() error { return nil }
	if !atOnce { // a long list costs a system call per buffer
		w := bufio.NewWriterSize(a.out, 64<<10)
		lines.out, flush = w, w.Flush
	}
	err := a.ask(ctx, func(c *control.Client) error {
		return control.Follow(ctx, c, route, q, func(e A) error {
			if lines.json {
				return lines.object(e)
			}
			show(lines, e)
			return nil
		})
	})
	return errors.Join(err, flush())
}
