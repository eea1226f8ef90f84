package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// VersionHeader carries each side's version.
const VersionHeader = "Rhizome-Version"

// maxRequest bounds a question, and drainTime how long clients may take to get their answers when Serve ends.
const (
	maxRequest = 1 << 20
	drainTime  = 2 * time.Second
)

// A Server answers questions on a home's socket. Fill it with Handle and HandleStream, then call Serve.
type Server struct {
	version string
	logger  *slog.Logger
	mux     *http.ServeMux
	drain   time.Duration // drainTime, but in tests

	running sync.WaitGroup // handlers; added to under mu, unless ended
	mu      sync.Mutex
	ended   bool // GUARDED_BY(mu): no handler begins any more
}

// NewServer returns a server without routes. version is the daemon's; a nil logger is silent.
func NewServer(version string, logger *slog.Logger) *Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{version: version, logger: logger, mux: http.NewServeMux(), drain: drainTime}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, NewError(NotFound, fmt.Sprintf("%s %s: no such route", r.Method, r.URL.Path),
			"the daemon and the command may be of different versions: restart the daemon"))
	})
	return s
}

// Serve answers on l until ctx is cancelled; then it closes l, lets running questions end, and returns nil. When it returns no
// handler runs, and none will: what they work on may be closed. Handlers' contexts are cancelled with ctx, or when their
// client goes, and they must return soon then; a client that does not take its answer is not waited for.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	h := &http.Server{
		Handler:           s,
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- h.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve control: %w", err)
	case <-ctx.Done():
	}
	cancel()
	drain, stop := context.WithTimeout(context.WithoutCancel(ctx), s.drain)
	defer stop()
	if h.Shutdown(drain) != nil {
		_ = h.Close()
	}
	<-done
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

// begin counts a handler in, unless Serve has ended: a connection that was closed may still bring a question that had been
// read.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.running.Add(1)
	}
	return !s.ended
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		return
	}
	defer s.running.Done()
	w.Header().Set(VersionHeader, s.version)
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	s.mux.ServeHTTP(w, r)
}

// Handle registers fn for a route. fn is called concurrently. What it returns crosses the socket: an
// error with its whole message, its code and its hint.
func Handle[Q, A any](s *Server, route Route[Q, A], fn func(context.Context, Q) (A, error)) {
	s.mux.HandleFunc(string(route), func(w http.ResponseWriter, r *http.Request) {
		var q Q
		if err := readQuestion(r, &q); err != nil {
			s.fail(w, err)
			return
		}
		a, err := fn(r.Context(), q)
		if err != nil {
			s.fail(w, err)
			return
		}
		body, err := json.Marshal(a)
		if err != nil {
			s.fail(w, fmt.Errorf("answer %s: %w", route, err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(body, '\n'))
	})
}

// readQuestion fills q from the body. A field that this daemon doesn't know is an error: a newer command
// asked for something that would silently not be done.
func readQuestion(r *http.Request, q any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(q); err != nil && !errors.Is(err, io.EOF) {
		return Fail(Usage, fmt.Errorf("%s %s: bad question: %w", r.Method, r.URL.Path, err), "")
	}
	return nil
}

type errorBody struct {
	Error *Error `json:"error"`
}

func (s *Server) fail(w http.ResponseWriter, err error) {
	e := wireError(err)
	if e.Code == Failed {
		s.logger.Warn("control request failed", "err", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Code.httpStatus())
	_ = json.NewEncoder(w).Encode(errorBody{Error: e})
}
