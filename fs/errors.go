package fs

import (
	"errors"
	iofs "io/fs"
)

// What an operation on the file system can fail with. Package fs/mount maps these to errno.
var (
	ErrNotExist     = iofs.ErrNotExist
	ErrExist        = iofs.ErrExist
	ErrPermission   = iofs.ErrPermission // EPERM: not a matter of modes, which the kernel checks
	ErrInvalid      = iofs.ErrInvalid
	ErrNotDir       = errors.New("not a directory")
	ErrIsDir        = errors.New("is a directory")
	ErrNotEmpty     = errors.New("directory not empty")
	ErrCrossVolume  = errors.New("crosses volumes")
	ErrNameTooLong  = errors.New("name too long")
	ErrNoAttr       = errors.New("no such attribute")
	ErrTooBig       = errors.New("file too large")
	ErrNoSpace      = errors.New("no space left")
	ErrNoData       = errors.New("no data from there on")
	ErrBusy         = errors.New("in use")
	ErrNotSupported = errors.New("not supported")
	ErrReadOnly     = errors.New("the past does not change")
	ErrStale        = errors.New("no longer what the name leads to") // who looks the name up again finds what is there
	// ErrDamaged says that bytes cannot be had back as they were written. Wrong bytes are never given instead.
	ErrDamaged = errors.New("damaged")
)
