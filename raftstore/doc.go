// Package raftstore is the sequencer of an identity: it gives proposed entries one committed order, by
// Raft (github.com/hashicorp/raft). It knows nothing of what entries hold.
//
//	propose   ask for an entry to be given a place in the order
//	voter     a member whose copy counts towards a majority; learner: one whose copy does not
//	leader    the voter that gives places; term: the number of its reign
//	Index     an entry's place. Indexes grow, and have gaps: Raft uses some itself
//
// Raft orders, it does not own: an entry that is lost is proposed again by whoever has it, and one that
// was proposed twice is committed twice. Whoever applies entries passes over what came early or double.
//
// Raft's log, its term and its vote are in the store's database, so they share its write-ahead log with
// the state that entries are applied to. A batch never survives a crash without those that were begun
// before it. Hence, while this device is the only voter and nobody follows it:
//
//   - an append needs no sync of its own. If power is lost, the log, the term and the state go back to
//     one earlier moment together, and nobody remembers another one;
//   - the state is never ahead of the log;
//   - what the state has applied is not needed in the log at a restart.
//
// Another device needs it: the log is cut behind a checkpoint only, from which that one can go on. Raft's snapshot is the checkpoint's
// place and what tells of it; whoever uses a Sequencer says when one is made.
//
// The first of these ends when there is another voter or a learner: a leader must then sync before it
// replicates, or a follower keeps entries that never were.
//
// Keys, all below 'r' and the 32 bytes of the identity: 'l' and 8 bytes of index, big endian: an entry;
// 's': the snapshot, 'k': its data; 'i': this voter's name; 'v' and Raft's own key: its term and vote.
package raftstore
