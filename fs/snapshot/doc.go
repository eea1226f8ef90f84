// Package snapshot writes a volume's visible tree as a DAG of sealed blocks, and reads it back. Whoever has the root's link and the
// blocks has the tree, and needs neither log nor database; whoever has the blocks alone can check, walk and keep them, and sees no
// name and no byte of content.
//
// # Words
//
// The root block says whose tree it is, of which state, and holds the root directory. An entry is a name in a directory, and
// the inode of what bears it; an inode holds all that the visible tree knows of a file. A directory's entries lie in a search
// tree of nodes: leaves hold entries, branches lead to 16 subtrees by the next four bits of the entries' places. A place is where an entry
// stands in its directory's order, see place.
//
// # What is in it
//
// Names, kinds, modes, owners, times of modification and birth, targets, device numbers, attributes (ACLs are among them), the volume
// of a graft, and of a file all its heads with their bytes; of a name all its claims, the hidden ones too: they are edits that
// nobody has seen and merged yet, and a tree without them has lost something. Hard links are entries whose inodes have one id; each
// entry holds the whole inode, so that a directory's link opens all that is below it.
//
// Not in it: what belongs to a device (ctime, atime, st_ino, device-local names), and what the reducer keeps for events to come:
// ancestry of versions, tombstones, aliases, generations, which of its names a file was given first. That is for checkpoints.
//
// # Guarantees
//
// Equal states have equal roots: the shape of a search tree depends on its entries alone, whatever led to them, blocks are
// sealed convergently, and Update returns what Build would. A change of one entry changes its leaf, the branches above it, and the same in
// each directory above: some kilobytes each.
//
// A version whose bytes are lost stays in the tree with the link that the state has. It leads to a block that nobody has.
//
// What does not open under its link, or is not what a writer of this format writes, is an error (ipld.ErrDamaged), never wrong data.
//
// Not for: when a snapshot is made and what it is called (package fs).
package snapshot
