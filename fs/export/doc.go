// Package export copies a part of the tree out of a file system, as it was at one moment: to ordinary files, to a CAR file in the clear, or
// to one of sealed blocks.
//
// A [Tree] is what is copied: it is read through .at, so it does not change, whatever is written meanwhile. It is read as the mount
// would show it, one directory after the other, and nothing of it is kept in memory but the names of hard links.
//
// [Unpack] reads a CAR file of sealed blocks back, without any file system: it is copied by the same code.
//
// What is written has another name until it is whole and on the disk; then it is renamed. An error, an interruption or a full disk
// leave nothing behind; a process that is killed leaves a file or directory whose name begins with ".rhizome-export-".
package export
