package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// A Stream is the daemon's end of a stream of E. It is for one goroutine.
type Stream[E any] struct {
	enc     *json.Encoder
	flusher *http.ResponseController
}

// Send adds e; it may sit in a buffer until Flush, so that a long log costs no system call per entry.
// It fails when the client has gone.
func (s *Stream[E]) Send(e E) error {
	if err := s.enc.Encode(line[E]{Value: &e}); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// Flush sends everything; call it whenever there is nothing to send for now.
func (s *Stream[E]) Flush() error {
	if err := s.flusher.Flush(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// line is one line of a stream: a value, or the error that ends it.
type line[E any] struct {
	Value *E     `json:"value,omitempty"`
	Error *Error `json:"error,omitempty"`
}

// HandleStream registers fn for a stream route. The stream ends when fn returns; fn must return when ctx
// is cancelled: then the client has gone or the daemon is ending.
func HandleStream[Q, E any](s *Server, route StreamRoute[Q, E], fn func(ctx context.Context, q Q, out *Stream[E]) error) {
	s.mux.HandleFunc(string(route), func(w http.ResponseWriter, r *http.Request) {
		var q Q
		if err := readQuestion(r, &q); err != nil {
			s.fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		out := &Stream[E]{enc: json.NewEncoder(w), flusher: http.NewResponseController(w)}
		err := fn(r.Context(), q, out)
		if err != nil && r.Context().Err() == nil {
			_ = out.enc.Encode(line[E]{Error: wireError(err)})
		}
	})
}
