package control

import (
	"errors"
	"net/http"
)

// A Code is the kind of a failure. It is stable: scripts and exit codes hang on it.
type Code string

// The codes, in the order of the command line's exit codes from 1.
const (
	Failed   Code = "failed"    // none of those below
	Usage    Code = "usage"     // what was asked makes no sense: an unknown option, a bad name
	NoDaemon Code = "no-daemon" // nobody serves this home
	NotFound Code = "not-found" // no such identity, volume, path
	InUse    Code = "in-use"    // somebody holds it: another daemon the store, programs the mount
	Damaged  Code = "damaged"   // stored bytes are not what they were
	NoFUSE   Code = "no-fuse"   // this machine or this user can't mount
	Refused  Code = "refused"   // a peer said no
)

// An Error is a failure with its code, and with a hint that tells a person what to do next. Its message is
// one line without a full stop.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`

	cause error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns what Fail was given; nil on the client's side of a connection.
func (e *Error) Unwrap() error { return e.cause }

// Fail gives cause a code and a hint ("" for none). It keeps cause for errors.Is and errors.As.
func Fail(code Code, cause error, hint string) *Error {
	return &Error{Code: code, Message: cause.Error(), Hint: hint, cause: cause}
}

// NewError returns an Error without a cause.
func NewError(code Code, message, hint string) *Error {
	return &Error{Code: code, Message: message, Hint: hint}
}

// CodeOf returns err's code: that of the first Error that it wraps, else Failed.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Failed
}

// HintOf returns err's hint: that of the first Error that it wraps, else "".
func HintOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Hint
	}
	return ""
}

// wireError is err as it crosses the socket: the whole message, with what was wrapped around the code.
func wireError(err error) *Error {
	return &Error{Code: CodeOf(err), Message: err.Error(), Hint: HintOf(err)}
}

func (c Code) httpStatus() int {
	switch c {
	case Usage:
		return http.StatusBadRequest
	case NotFound:
		return http.StatusNotFound
	case InUse:
		return http.StatusConflict
	case Refused:
		return http.StatusForbidden
	case NoDaemon:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
