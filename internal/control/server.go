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
	"time"
)

// VersionHeader carries each side's version.
const VersionHeader = "Rhizome-Version"

// maxRequest bounds a question, and drainTime how long Serve waits for answers when it ends.
const (
	maxRequest = 1 << 20
	drainTime  = 2 * time.Second
)

// A Server answers questions on a home's socket. Fill it with Handle and HandleStream, then call Serve.
type Server struct {
	version string
	logger  *slog.Logger
	mux     *http.ServeMux
}

// NewServer returns a server without routes. version is the daemon's; a nil logger is silent.
func NewServer(version string, logger *slog.Logger) *Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{version: version, logger: logger, mux: http.NewServeMux()}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, NewError(NotFound, fmt.Sprintf("%s %s: no such route", r.Method, r.URL.Path),
			"the daemon and the command may be of different versions: restart the daemon"))
	})
	return s
}

// Serve answers on l until ctx is cancelled; then it lets running questions end, streams at once, closes l
// and returns nil. fn's contexts are cancelled with ctx or when their client goes.
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
	drain, stop := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer stop()
	if h.Shutdown(drain) != nil {
		_ = h.Close()
	}
	<-done
	return nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
