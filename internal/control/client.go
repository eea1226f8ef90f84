package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
)

// A Client asks the daemon of one home. It is safe for concurrent use. Close it.
type Client struct {
	home    string
	version string
	http    *http.Client
	first   chan net.Conn // the connection that Dial made, until the first question takes it

	daemonPID     atomic.Int64
	daemonVersion atomic.Pointer[string]
}

// Dial connects to the daemon that serves home, to see that it is there. version is the caller's. If nobody
// serves home the error's code is NoDaemon.
func Dial(ctx context.Context, home, version string) (*Client, error) {
	c := &Client{home: home, version: version, first: make(chan net.Conn, 1)}
	first, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	c.first <- first
	c.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case conn := <-c.first:
				return conn, nil
			default:
				return c.connect(ctx)
			}
		},
		DisableCompression: true,
	}}
	return c, nil
}

// Close ends the client's connections.
func (c *Client) Close() {
	select {
	case conn := <-c.first:
		_ = conn.Close()
	default:
	}
	c.http.CloseIdleConnections()
}

// DaemonPID returns the daemon's process id by the kernel's word, 0 if it is of another PID namespace.
func (c *Client) DaemonPID() int { return int(c.daemonPID.Load()) }

// DaemonVersion returns the version that the daemon named with its last answer, "" before the first.
func (c *Client) DaemonVersion() string {
	if v := c.daemonVersion.Load(); v != nil {
		return *v
	}
	return ""
}

func (c *Client) connect(ctx context.Context) (net.Conn, error) {
	addr, release, err := address(c.home)
	if err != nil {
		return nil, c.noDaemon(err)
	}
	defer release()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", addr)
	if err != nil {
		return nil, c.noDaemon(err)
	}
	if peer, err := peerOf(conn.(*net.UnixConn)); err == nil {
		c.daemonPID.Store(int64(peer.Pid))
	}
	return conn, nil
}

// noDaemon gives a failed connect its code: nobody there, or no right to ask.
func (c *Client) noDaemon(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		e := Fail(NoDaemon, err, "start one with: rhizome mount")
		e.Message = fmt.Sprintf("no daemon serves %s", Name(c.home))
		return e
	case errors.Is(err, os.ErrPermission):
		return Fail(Failed, fmt.Errorf("connect to %s: %w", Name(filepath.Join(c.home, SocketName)), err),
			"the store belongs to another user: run this command as that user")
	default:
		return fmt.Errorf("connect to the daemon of %s: %w", Name(c.home), err)
	}
}

// Call asks one question and returns its answer.
func Call[Q, A any](ctx context.Context, c *Client, route Route[Q, A], q Q) (A, error) {
	var a A
	body, err := c.ask(ctx, string(route), q)
	if err != nil {
		return a, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&a); err != nil {
		return a, c.broken(string(route), err)
	}
	return a, nil
}

// Follow asks for a stream and calls fn for each of its values until it ends, fn fails, or ctx is
// cancelled.
func Follow[Q, E any](ctx context.Context, c *Client, route StreamRoute[Q, E], q Q, fn func(E) error) error {
	body, err := c.ask(ctx, string(route), q)
	if err != nil {
		return err
	}
	defer body.Close()
	dec := json.NewDecoder(body)
	for {
		var l line[E]
		switch err := dec.Decode(&l); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return c.broken(string(route), err)
		case l.Error != nil:
			return l.Error
		case l.Value != nil:
			if err := fn(*l.Value); err != nil {
				return err
			}
		}
	}
}

// ask sends q and returns the body of a good answer.
func (c *Client) ask(ctx context.Context, route string, q any) (io.ReadCloser, error) {
	method, path, _ := strings.Cut(route, " ")
	var question io.Reader
	if method != http.MethodGet {
		b, err := json.Marshal(q)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", route, err)
		}
		question = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://rhizome"+path, question)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", route, err)
	}
	req.Header.Set(VersionHeader, c.version)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(route, err)
	}
	if v := resp.Header.Get(VersionHeader); v != "" {
		c.daemonVersion.Store(&v)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var e errorBody
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxRequest)).Decode(&e); err != nil || e.Error == nil {
		return nil, c.broken(route, fmt.Errorf("HTTP status %s", resp.Status))
	}
	return nil, e.Error
}

// broken explains a conversation that failed, rather than an answer that says no.
func (c *Client) broken(route string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Code == NoDaemon {
		return e
	}
	hint := "see the daemon's log"
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("it doesn't answer")
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		err = errors.New("it ended in the middle of an answer")
	}
	if v := c.DaemonVersion(); v != "" && v != c.version {
		hint = fmt.Sprintf("it is of version %s and this command of version %s: restart the daemon", v, c.version)
	}
	return Fail(Failed, fmt.Errorf("ask the daemon (%s): %w", route, err), hint)
}
