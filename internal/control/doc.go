// Package control is the local API between a running daemon and everybody else on the machine: JSON over
// HTTP on a unix socket in the daemon's home, paths under /v1/. The command line speaks it, and so can curl:
//
//	curl --unix-socket HOME/control.sock http://rhizome/v1/status
//
// # Words
//
// A route is a method and a path with the types of its question and its answer, so that client and server
// can't disagree about them; routes.go has all of them. A stream route answers with many values, one JSON
// object a line ({"value": …}, and at most one {"error": …}, the last). A code says what kind of failure
// an error is; the command line makes it the exit code.
//
// # Guarantees
//
// Only the daemon's own user and root are served: the socket is made with mode 0600 in a directory with
// mode 0700, and the kernel's word on who connected is checked on top. Both sides name their version in the
// header Rhizome-Version with every question and answer. Nothing here logs what it carries: a recovery
// phrase passes through it ([Words] prints as "[secret]" wherever it isn't sent).
//
// # What it is not for
//
// It knows no file system, log or key: it carries numbers, names and words. What the answers say is the
// daemon's business, how they look the command line's. It is not for other machines.
package control
