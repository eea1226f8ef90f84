// Package tree is the directory tree as a state transition function: the reducer "tree/1", its events
// (ops), its state records, and what reads them. It is pure: no I/O, no lock, no clock, no randomness.
//
// # Words
//
// A file is anything that has an inode: directories, symbolic links and device nodes too. Its [FileID] is
// random and stays its name in the log for ever. A dirent is a name in a directory; its claims are the
// files that bear the name. Nearly always there is one; when two devices gave one name to two files of one
// kind, both claim it, the earlier is shown, and the others are hidden until a [Merge] joins or parts them.
// A version is a file's content as one edit left it; heads are the versions that nobody has replaced.
// A dead file has lost its last name; its inode stays as a tombstone, so that an edit made elsewhere in the
// meantime brings it back. An alias is the id of a file that became part of another one.
//
// # Guarantees
//
// Apply is total and deterministic: any bytes, on any state, have one outcome. An event that does not
// decode, or breaks a bound that docs/FORMATS.md names, has no effect at all; an op that asks what cannot be
// (a directory into itself, an unknown file) has none either, and the event's other ops apply.
// An event of a later version of the reducer does not decode here: it has no effect. So a volume whose
// [Begin] names a later version is applied no further ([Stopped]).
//
// The tree stays a tree, whatever the order of events: [Check] says what that means. Every version that a
// close ended stays reachable from some inode, living or dead.
//
// An op is applied once, however often it comes: files and versions are made by their ids, and an id that
// is known makes nothing. A [Create] of a file that is known still brings the version and the attributes that it holds:
// of two copies of a store each may have put other events into it.
//
// What decides is what the author saw, and the op says it: heads replaced, heads removed, the id that
// bore a name. Clocks never decide; their values are kept, for people.
//
// # Not for
//
// Content (package ipld), open files, access rights, ctime, atime and inode numbers (package fs).
package tree
