// Package unixfs writes a tree of files as UnixFS with mode and mtime (UnixFS 1.5, https://specs.ipfs.tech/unixfs/) in a CARv1
// file, in the clear: for those who want their files out, and for IPFS's own tools.
//
// The DAG is that of the profile unixfs-v1-2025 (IPIP-499): CIDv1 with SHA-256, raw leaves of 1 MiB, 1,024 links in a node, and directories whose node
// would have more than 256 KiB as HAMTs of 256. A file of up to 32 KiB stands in its own node, which has its mode and mtime. Blocks come in the
// order of a depth-first walk from the root, parents first, each once. So one tree gives one file, to the byte.
//
// It reads the tree twice: first to find the CIDs, keeping no content, then to write. Memory is needed for the nodes of directories and for one file's
// chunk, not for contents; the nodes are in a temporary file meanwhile.
//
// UnixFS has no owners, attributes, hard links, device nodes, fifos or sockets, and its names are UTF-8: Source leaves out what can't be said.
package unixfs
