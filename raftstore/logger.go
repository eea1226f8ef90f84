package raftstore

import (
	"bytes"
	"log/slog"
	"strings"
)

// A logWriter puts the lines that Raft logs into a slog.Logger. Elections of a sole voter are nothing to
// warn of: all but errors is for debugging. Why there is no snapshot Compact returns.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		_, text, ok := strings.Cut(string(bytes.TrimSpace(line)), "raft: ")
		if !ok {
			text = string(bytes.TrimSpace(line))
		}
		if bytes.Contains(line, []byte("[ERROR]")) && !bytes.Contains(line, []byte("failed to take snapshot")) {
			w.log.Warn("raft", "text", text)
		} else {
			w.log.Debug("raft", "text", text)
		}
	}
	return len(p), nil
}
