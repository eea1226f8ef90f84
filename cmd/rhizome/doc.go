// Rhizome is a personal replicated file system: `rhizome mount ~/Rhizome` gives every identity that a
// person owns a directory tree.
//
// This package is the command line, one file per command. It alone reads settings (flags and the
// environment) and it alone prints: stdout is data, stderr is "rhizome: …" with what to do next (output.go),
// and errors become exit codes in one place (errors.go). What a command does is done by the daemon, which
// it asks through package control; only mount is the daemon itself, from package daemon, which also does
// what must work while no daemon runs.
package main
