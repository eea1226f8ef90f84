// Package backup writes what may leave a device of an identity to a directory, incrementally, and reads it back: membership
// entries, frames, their places in the order, and sealed blocks. It opens no frame and no block, and needs no key; whoever has the
// directory alone learns what frames' headers show. With the recovery phrase it is the whole identity.
//
// # Words
//
// A backup is a directory that has a part for each identity. A part is packs, files that never change once they are there, and a
// manifest that names them with their lengths and hashes, says how far each volume's order is in them, and is signed by the device that
// wrote it. A log pack holds frames and places, a block pack is a CAR file with sealed blocks, an index file lists the blocks of one.
// docs/FORMATS.md has every byte.
//
// # Guarantees
//
// A run of Write adds packs and then replaces the manifest by renaming, both synced. So a crash, a full disk or an
// interruption at any moment leaves the backup that was there; what such a run left is removed by the next. What a run writes is what
// the packs do not have.
//
// A reader tells each file that is missing, cut or changed by its name. Blocks and frames are checked one by one against their own
// hashes, so that whoever wants to can take what is whole out of a backup that is damaged.
//
// Write refuses to add to a part whose order the store does not have: another store goes on with it, or this one was put back to an
// earlier moment. Nothing of a backup is ever overwritten.
package backup
