// Package ipld keeps content: sealed, content-addressed blocks, the trees of blocks that hold a
// file's bytes, and the stores that hold the blocks.
//
// # Words
//
// A block is bytes and the CID that names them. A leaf is a block without children, its codec raw; a
// node has children, whose CIDs stand in the clear beside its ciphertext, its codec dag-cbor. A link is
// a CID and the key that opens the block. A chunk is a piece of a file that one leaf holds, a section
// is 8 MiB of a file on a fixed grid, a hole is a run of zeros that no block holds.
//
// # Sealing
//
// A Sealer turns plain bytes into blocks. Equal bytes give equal blocks under one convergence secret
// and nowhere else: the key comes from the secret and the SHA-256 of the very bytes that are
// encrypted, so it is used once, and a constant nonce is safe. A link opens exactly its own subtree
// and needs no secret. Whoever holds no key can check, walk, pin and collect the blocks.
//
// # What reading proves
//
// A block that opens under its link's key is what was sealed under that key: AES-GCM says so. So a
// Reader does not hash what it reads from a store of this device. Store.Get does: what it returns may
// be passed on to those who hold no key.
//
// # Durability
//
// Segments.Put hands blocks to the kernel: they survive kill -9. Segments.Sync makes what was put
// durable. A block's entry enters the index once the block's bytes are on disk, never before: an index
// entry is never wrong about a crash. What was handed to the kernel but not yet indexed is found again
// by reading the segments behind their marks, which is never more than SegmentOptions.Unsynced or so.
//
// # Locks
//
// In Segments: collecting, then syncing, then appending, then mu. No lock is held while a caller's
// function runs, except collecting.
//
// Not for: names, versions, who may read; package ipld knows bytes and blocks only. The package
// ipld/ipfs adapts a Store to boxo.
package ipld
