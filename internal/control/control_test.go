package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const daemonVersion = "1.2.3"

// serve runs a server with the routes that fill adds on a real socket in home, until the test ends.
func serve(t *testing.T, home string, fill func(*Server)) (stop func()) {
	t.Helper()
	l, err := Listen(home)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(daemonVersion, nil)
	fill(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stop = func() {
		cancel()
		if err, ok := <-done; ok && err != nil {
			t.Errorf("serve: %v", err)
		}
		close(done)
	}
	t.Cleanup(func() { cancel(); <-done })
	return stop
}

func dial(t *testing.T, home string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), home, daemonVersion)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestCall(t *testing.T) {
	home := t.TempDir()
	serve(t, home, func(s *Server) {
		Handle(s, WhereRoute, func(_ context.Context, q WhereRequest) (Where, error) {
			return Where{Volume: "00ff", Path: q.Path}, nil
		})
	})
	c := dial(t, home)
	for _, path := range []Name{"/a/b", "/not utf-8 \xff\x00", "/ü\n"} {
		got, err := Call(t.Context(), c, WhereRoute, WhereRequest{Path: path})
		if err != nil || got != (Where{Volume: "00ff", Path: path}) {
			t.Errorf("where %q: %+v, %v", path, got, err)
		}
	}
	if c.DaemonPID() != os.Getpid() || c.DaemonVersion() != daemonVersion {
		t.Errorf("daemon: pid %d, version %q", c.DaemonPID(), c.DaemonVersion())
	}
}

func TestErrorsKeepMessageCodeAndHint(t *testing.T) {
	home := t.TempDir()
	serve(t, home, func(s *Server) {
		Handle(s, IdentityNew, func(context.Context, IdentityNewRequest) (Identity, error) {
			coded := NewError(InUse, "name is taken", "choose another")
			return Identity{}, fmt.Errorf("make identity: %w", coded)
		})
		Handle(s, StatusRoute, func(context.Context, struct{}) (Status, error) {
			return Status{}, errors.New("plain")
		})
	})
	c := dial(t, home)
	_, err := Call(t.Context(), c, IdentityNew, IdentityNewRequest{Name: "x"})
	if err == nil || err.Error() != "make identity: name is taken" || CodeOf(err) != InUse || HintOf(err) != "choose another" {
		t.Errorf("coded error came as %v, code %q, hint %q", err, CodeOf(err), HintOf(err))
	}
	if _, err := Call(t.Context(), c, StatusRoute, struct{}{}); err == nil || CodeOf(err) != Failed || err.Error() != "plain" {
		t.Errorf("plain error came as %v, code %q", err, CodeOf(err))
	}
	if _, err := Call(t.Context(), c, PhraseRoute, PhraseRequest{}); CodeOf(err) != NotFound || HintOf(err) == "" {
		t.Errorf("unknown route: %v, code %q, hint %q", err, CodeOf(err), HintOf(err))
	}
}

// When Serve has returned no handler runs, however long one takes and whatever became of its client.
func TestServeWaitsForHandlers(t *testing.T) {
	home := t.TempDir()
	entered, left, served := make(chan struct{}), make(chan struct{}), make(chan struct{})
	stop := serve(t, home, func(s *Server) {
		s.drain = time.Millisecond
		Handle(s, StatusRoute, func(ctx context.Context, _ struct{}) (Status, error) {
			close(entered)
			<-ctx.Done()
			<-left
			select {
			case <-served:
				t.Error("Serve has returned while a handler ran")
			case <-time.After(100 * time.Millisecond): // what it still does
			}
			return Status{}, nil
		})
	})
	go func() {
		<-entered
		stop()
		close(served)
	}()
	if _, err := Call(t.Context(), dial(t, home), StatusRoute, struct{}{}); err == nil {
		t.Error("answered after the end")
	}
	close(left)
	<-served
}

func TestUnknownFieldIsRefused(t *testing.T) {
	home := t.TempDir()
	serve(t, home, func(s *Server) {
		Handle(s, UnmountRoute, func(context.Context, UnmountRequest) (UnmountAnswer, error) {
			t.Error("called in spite of a question that it can't understand")
			return UnmountAnswer{}, nil
		})
	})
	newer := Route[map[string]bool, UnmountAnswer](UnmountRoute)
	_, err := Call(t.Context(), dial(t, home), newer, map[string]bool{"only_if_idle": true})
	if CodeOf(err) != Usage {
		t.Errorf("unknown field: %v", err)
	}
}

func TestStream(t *testing.T) {
	home := t.TempDir()
	handlerEnded := make(chan struct{})
	serve(t, home, func(s *Server) {
		HandleStream(s, LogRoute, func(ctx context.Context, q LogRequest, out *Stream[LogEntry]) error {
			defer close(handlerEnded)
			for i := range 3 {
				if err := out.Send(LogEntry{Seq: uint64(i + 1), Path: "x\xff"}); err != nil {
					return err
				}
			}
			if err := out.Flush(); err != nil || !q.Follow {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	var got []LogEntry
	err := Follow(ctx, dial(t, home), LogRoute, LogRequest{Follow: true}, func(e LogEntry) error {
		if got = append(got, e); len(got) == 3 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || len(got) != 3 || got[2].Seq != 3 || got[2].Path != "x\xff" {
		t.Errorf("got %+v, %v", got, err)
	}
	<-handlerEnded
}

func TestStreamEndsWithError(t *testing.T) {
	home := t.TempDir()
	serve(t, home, func(s *Server) {
		HandleStream(s, LogRoute, func(_ context.Context, _ LogRequest, out *Stream[LogEntry]) error {
			_ = out.Send(LogEntry{Seq: 1})
			return NewError(Damaged, "frame 7 is damaged", "")
		})
	})
	n := 0
	err := Follow(t.Context(), dial(t, home), LogRoute, LogRequest{}, func(LogEntry) error { n++; return nil })
	if n != 1 || CodeOf(err) != Damaged {
		t.Errorf("%d values, then %v", n, err)
	}
}

func TestServeEndsStreamsAndRemovesSocket(t *testing.T) {
	home := t.TempDir()
	started := make(chan struct{})
	stop := serve(t, home, func(s *Server) {
		HandleStream(s, LogRoute, func(ctx context.Context, _ LogRequest, out *Stream[LogEntry]) error {
			_ = out.Flush()
			close(started)
			<-ctx.Done()
			return nil
		})
	})
	c := dial(t, home)
	followed := make(chan error, 1)
	go func() {
		followed <- Follow(context.Background(), c, LogRoute, LogRequest{Follow: true}, func(LogEntry) error { return nil })
	}()
	<-started
	stop()
	if err := <-followed; err != nil {
		t.Errorf("a stream that the daemon ends is no error: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(home, SocketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket is left: %v", err)
	}
	if _, err := Dial(t.Context(), home, "x"); CodeOf(err) != NoDaemon {
		t.Errorf("dial without a daemon: %v", err)
	}
}

func TestSocketIsPrivateAndReplaced(t *testing.T) {
	home := t.TempDir()
	socket := filepath.Join(home, SocketName)
	if err := os.WriteFile(socket, nil, 0o666); err != nil { // what a dead daemon left
		t.Fatal(err)
	}
	serve(t, home, func(*Server) {})
	fi, err := os.Lstat(socket)
	if err != nil || fi.Mode() != os.ModeSocket|0o600 {
		t.Errorf("socket: %v, %v", fi.Mode(), err)
	}
}

func TestLongHome(t *testing.T) {
	home := filepath.Join(t.TempDir(), strings.Repeat("long/", 60))
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	stop := serve(t, home, func(s *Server) {
		Handle(s, StatusRoute, func(context.Context, struct{}) (Status, error) { return Status{Files: 7}, nil })
	})
	if st, err := Call(t.Context(), dial(t, home), StatusRoute, struct{}{}); err != nil || st.Files != 7 {
		t.Errorf("status: %+v, %v", st, err)
	}
	stop()
	if _, err := os.Lstat(filepath.Join(home, SocketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket is left: %v", err)
	}
}

func TestOtherVersionIsNamed(t *testing.T) {
	home := t.TempDir()
	serve(t, home, func(s *Server) {
		s.mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get(VersionHeader) != "0.9" {
				t.Errorf("the client didn't say its version")
			}
			_, _ = w.Write([]byte("no JSON at all"))
		})
	})
	c, err := Dial(t.Context(), home, "0.9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = Call(t.Context(), c, StatusRoute, struct{}{})
	if hint := HintOf(err); !strings.Contains(hint, daemonVersion) || !strings.Contains(hint, "0.9") {
		t.Errorf("error %v, hint %q", err, hint)
	}
}

func TestWordsNeverPrint(t *testing.T) {
	p := Phrase{Identity: "me", Words: "legal winner thank year"}
	var text, js strings.Builder
	slog.New(slog.NewTextHandler(&text, nil)).Info("x", "words", p.Words, "phrase", p)
	slog.New(slog.NewJSONHandler(&js, nil)).Info("x", "words", p.Words, "phrase", p, "forget", ForgetRequest(p))
	printed := fmt.Sprintf("%v %+v %#v %s %q %x %d", p, p, p, p, p, p, p.Words) + text.String() + js.String()
	for _, bad := range []string{"winner", fmt.Sprintf("%x", "winner")} {
		if strings.Contains(printed, bad) {
			t.Errorf("printed: %s", printed)
		}
	}
	if b, _ := json.Marshal(p); !strings.Contains(string(b), "winner") || p.Words.Reveal() != "legal winner thank year" {
		t.Errorf("the words must cross the socket: %s", b)
	}
}

func TestNameOnATerminal(t *testing.T) {
	for in, want := range map[Name]string{
		"plain name.md": "plain name.md",
		"größe":         "größe",
		"a\x1b[2Jb":     `"a\x1b[2Jb"`,
		"two\nlines":    `"two\nlines"`,
		"\xff":          `"\xff"`,
	} {
		if got := in.String(); got != want {
			t.Errorf("%q prints as %s, want %s", string(in), got, want)
		}
	}
}

func TestSentence(t *testing.T) {
	for want, s := range map[string]Status{
		"There are no files yet.":                                                      {},
		"The one file is on this device only.":                                         {Files: 1},
		"All 1,204 files are on this device only.":                                     {Files: 1204},
		"All 12,345,678 files are on this device only.":                                {Files: 12345678},
		"2 parts of the store are damaged and can't be read; everything else is here.": {Files: 5, Damage: make([]Damage, 2)},
		"Something is wrong: the disk is full.":                                        {Files: 5, Health: []Finding{{Grade: Warn, What: "x"}, {Grade: Bad, What: "the disk is full"}}},
	} {
		if got := Sentence(s); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add([]byte("a"))
	f.Add([]byte("\xff{\"base64\":\"\"}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		js, err := json.Marshal(Name(b))
		if err != nil {
			t.Fatal(err)
		}
		var back Name
		if err := json.Unmarshal(js, &back); err != nil || back != Name(b) {
			t.Fatalf("%q came back as %q, %v", b, back, err)
		}
	})
}
