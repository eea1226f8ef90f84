package main

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// Exit codes. They are stable.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNoDaemon = 3
	exitNotFound = 4
	exitInUse    = 5
	exitDamaged  = 6
	exitNoFUSE   = 7
	exitRefused  = 8
)

// exitCode is the only place where errors become exit codes.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*control.Error](err); ok {
		return codeExit(e.Code)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return exitFailed
	case errors.Is(err, fs.ErrNotExist):
		return exitNotFound
	case errors.Is(err, syscall.EBUSY):
		return exitInUse
	default:
		return exitFailed
	}
}

func codeExit(c control.Code) int {
	switch c {
	case control.Usage:
		return exitUsage
	case control.NoDaemon:
		return exitNoDaemon
	case control.NotFound:
		return exitNotFound
	case control.InUse:
		return exitInUse
	case control.Damaged:
		return exitDamaged
	case control.NoFUSE:
		return exitNoFUSE
	case control.Refused:
		return exitRefused
	default:
		return exitFailed
	}
}

// asUsage is err as a wrong use of the command line.
func asUsage(err error) error {
	return control.Fail(control.Usage, err, "see: rhizome --help")
}
