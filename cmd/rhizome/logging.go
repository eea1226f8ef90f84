package main

import (
	"log/slog"
	"os"
	"path/filepath"

	"gopkg.in/natefinch/lumberjack.v2"
)

// The log is rotated at logMegabytes; logBackups older ones are kept, for logDays at most.
const (
	logMegabytes = 10
	logBackups   = 5
	logDays      = 90
)

// openLog opens the daemon's log: the file, and in the foreground warnings on stderr too. A file that
// can't be written keeps nobody from mounting.
func (m *mounting) openLog() (*slog.Logger, func()) {
	var handlers []slog.Handler
	if m.readyFD == 0 {
		handlers = append(handlers, slog.NewTextHandler(m.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	if err := os.MkdirAll(filepath.Dir(m.logPath), 0o700); err != nil {
		m.note("no log file: %v", err)
		return slog.New(slog.NewMultiHandler(handlers...)), func() {}
	}
	file := &lumberjack.Logger{Filename: m.logPath, MaxSize: logMegabytes, MaxBackups: logBackups, MaxAge: logDays}
	handlers = append(handlers, slog.NewTextHandler(file, nil))
	logger := slog.New(slog.NewMultiHandler(handlers...)).With("pid", os.Getpid())
	return logger, func() { _ = file.Close() }
}
