// Package fs is the live file system of one device: identities, their volumes, the inodes that programs
// see, open files and their bytes. It knows nothing of FUSE (package fs/mount translates), of Raft or of
// the network: it reads and changes volumes through package eventlog, and content through package ipld.
//
// # Words
//
// An [FS] is all that a mount shows. A [Volume] is one tree with its log. A [Node] is an inode that the
// kernel knows: it is found by its number, never by a path, and all names of a hard-linked file are one
// Node. A node that has been written to has a buffer; the buffer ends as an edit, an edit is a version.
//
// # The life of a write
//
// write(2) goes to the node's buffer: memory up to 256 KiB, then a sparse spill file that holds only the
// ranges written, over the version that the edit began with. Nothing is chunked or sealed there; its pages have
// checksums.
// close (FLUSH), or a quiet second, ends the edit: one SetContent event. Content of 4 KiB or less stands in the
// event; larger content is a pending version: the event is held in the log, the bytes stay where they are
// (the database or the spill file), and a background loop seals them and then amends the event.
// fsync makes the bytes durable without ending the edit: in the write-ahead log if they are few,
// else in the spill file.
//
// # Device-local files
//
// Names that match the device-local rules live in the same tree but in the device's own part of the
// database. The same reducer keeps them; no event leaves the device. A rename between such a name and another moves files from one
// tree to the other (cross.go); the trash at the mount's top is device-local, and of all volumes (trash.go).
//
// # The past
//
// In every directory of a volume .at leads to what it was (at.go). A view is a directory as it was at one time, which is a moment in the
// history of each volume that is in it (atview.go). What the kernel knows of the past are nodes of their own kind, with numbers of their own (attable.go):
// what they show never changes, so they need no lock, and whatever asks for a change of one does not find it.
//
// # Locks
//
// Order: Node.mu, then the log's own lock (inside eventlog), then Volume.mu, then table.mu, then spills.mu.
// FS.opening comes behind the Node.mu of a home's root, FS.crossing behind every Node.mu. Several Node.mu are taken in the order of
// their numbers. Who holds a log's lock looks at no other volume.
// Of the past: pastTable.naming, view.mu, then the log's own lock; pastTable.mu comes behind all.
// Nothing is notified under a lock.
package fs
