// Package store opens a device's home directory: its lock, its format version, and the one embedded
// database (Pebble) that holds the logs, the state of every volume, the block index and Raft's log.
//
// A write has one of three levels of durability:
//
//	Applied  readers see it
//	Handed   it was handed to the kernel: it survives kill -9 of this process
//	OnDisk   it survives the loss of power
//
// Begin applies a batch atomically and hands it to the kernel (Hand leaves the applying to whoever reads next, or to Settle);
// Wait(OnDisk) makes it reach the disk,
// together with everything that was begun before it. Nothing stays off the disk longer than
// Options.FlushEvery. After a crash the database holds the batches of one earlier moment: a prefix of
// the order in which they were begun, which ends no earlier than the last batch whose level the crash
// leaves standing.
//
// A disk that fails or is full is told to who wrote, once to the log, and by Health while it lasts; then
// the store goes on by itself. Nothing that was acknowledged is lost by it. See mend.go (the log), patient.go (the
// database), reserve.go (space) and trouble.go.
//
// Everything is written through Pebble's vfs, so that a test can crash the store at any write.
package store
