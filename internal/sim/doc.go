// Package sim replays random histories of a few replicas in one process: what people do on them, a
// network that delays, loses, doubles and reorders, power cuts, copied and restored stores, and a
// sequencer that orders what reaches it. One seed gives one history, to the byte: a history runs on one
// loop, and nothing in it comes from the machine's clock, its randomness or its scheduler.
//
// # Words
//
// A history is one run from empty stores to the final checks. A replica is a machine with a disk; its
// life is one run of the program on it. A twin is a replica that began as a copy of another's disk.
// A promise is what a replica said to be on its disk: a frame, or a version that a close ended.
//
// # What is real and what is pretended
//
// Real: the store, the block store, the log, the tree's reducer, keys, frames and sealing. Pretended: the
// disk (Pebble's crashable memory file system: a power cut loses what was not synced), the network, the
// sequencer, the clock, and the part of the daemon that drives all of these, as package daemon does it.
//
// A power cut loses everything behind the last sync. That a disk may have written more is pretended by
// syncs that promise nothing, at random moments; torn writes are for the store's own tests. Pebble flushes
// its memory in the background, which would move that line at a moment of its own choosing: so a
// replica flushes it before Pebble would (see replica.settle).
//
// # What is checked
//
// At the end of each history the network heals, everything is exchanged, and then: all replicas have the
// same state byte for byte, and tree.Check finds nothing; it is the state that their logs lead to; their
// order is the one that the sequencer's entries give by the commit rule, reckoned here once more by itself,
// and nothing stands in it twice; their snapshots, made at moments of their own, have one root; checkpoints that they keep, and the frames after, lead to the same state, and to the past that they had; every promise is kept on every replica; no conflict is left unmerged; and
// no feed has forked unless a store was copied or restored. Some of it is checked along the way too:
// order hashes at each step, promises after each restart.
//
// Not for: the mount, Raft, the real disk. Only tests import it.
package sim
