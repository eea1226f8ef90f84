// Package eventlog keeps a volume's events and the state that they lead to. It appends this device's events, puts them into
// frames, takes other devices' frames, brings all of them into one order, and applies them through a Reducer. It
// knows nothing of files, of the network, or of who orders.
//
// # Words
//
// A volume's events stand in one order, in three stages. Committed: the sequencer has given their frame a place (Index), for ever.
// Tentative: they are in a frame that has none yet. Unframed: they are this device's, and in no frame yet; some of these are
// held, because their content is still being made durable. State is always fold(reducer, all events in this order).
//
// A frame names the frame before it in its feed, and the frames of other feeds that its author had applied. A frame is
// complete when all that it names is here and complete; until then it waits. The tentative order of complete frames depends on nothing but
// their headers: (depth, feed, hash), where depth is one more than the greatest depth of what it names. A device's own next
// frame builds on all that it has applied, so it is deeper than all of that: to cut a frame changes no order and no state.
//
// The commit rule: a frame that the sequencer orders is committed if all that it names is committed, and it is not yet; else it is passed over.
// The order hash after it is SHA-256(order hash before, Index, hash of the frame), so devices that disagree find out.
//
// A unit is what is undone and done again as a whole: a frame, or an unframed event. With each that is not committed stands its
// undo: the before-image of every key that it changed, and its footprint (the keys that it read, in vain or not, and the prefixes that it
// scanned). When the order changes, the units whose footprints touch nothing that moved stay as they are; see reorder.
//
// # History
//
// A moment is a place between two changes of the state on this device, by its clock. With every change the log writes facts: what each
// changed key had until that moment, if the reducer says that it matters. The state at a moment is, for each key, the first fact behind
// it, else what stands there now; so the past is read like the present, however long ago. A rebase is one change, at the moment when it
// began. History is this device's own: how the state was shown here.
//
// # Guarantees
//
// Every change is one batch of the database: event, state, undo and device-local keys, or frames, marks and the
// rebased state. After a crash there is an earlier moment, whole. What is durable when is the caller's choice (store.Commit) for
// Update; Cut, Receive and Commit are applied when they return and on disk after the store's Sync. Nothing may leave the device before that.
//
// Devices with the same frames and the same committed order have the same state, to the byte. This asks of a Reducer that it is pure
// and total, and of Coalesce that what it returns leads to the same state and touches nothing that the originals did not touch. With the build
// tag invariants the log checks that, and every rebase, at a high price.
//
// A log reads marks when it is opened, never the committed history. It remembers headers of what is tentative, and heads.
//
// A log without keys stores, checks, orders and forwards frames, and has no state.
//
// # Locks
//
// order, then mu. order serialises what changes the order of frames (Cut, Receive, Commit, NewIncarnation), mu guards the state. A rebase is
// computed under order alone, from a snapshot; readers and writers go on meanwhile, and a chase takes in what they wrote. A brake, which
// Update waits for before it takes mu, keeps writers slower than the chase. The swap takes mu.
// Listeners are called without locks. No method waits for the network, and only Update's commit waits for the disk.
package eventlog
