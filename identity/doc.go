// Package identity holds keys, and what follows from them: who someone is, which devices act for them,
// what they may sign, and what they can open.
//
// # Words
//
// An identity is an Ed25519 root key. Its secret is 32 bytes of entropy, shown to its owner once as 24 words
// (BIP39's English list); whoever has the words and the membership log has everything that the identity's keys can
// open. Only the device that made the identity holds the entropy, until [Keyring.Forget].
//
// A device is an Ed25519 key, for signing frames and membership entries, and an X25519 key, to which secrets are
// wrapped. Its incarnation is a random number drawn when its store is made, and anew when a feed turns out to have two branches because the
// store was copied: device, incarnation and volume make a feed.
//
// A [Keyring] is what one device holds of one identity. It is a file of its own, mode 0600, in the home's folder
// "identities", and never in the database, so that a database can be looked at, copied or reported without a thought.
//
// A key epoch is a numbered secret of the identity. From the secret of an epoch come, by HKDF-SHA256, the keys of
// every volume ([VolumeKeys]): for sealing frames, and the convergence secret from which package ipld makes
// the keys of blocks. Epochs are added when a device is removed; the old ones are kept to read what was sealed then.
//
// The membership log says which devices act for an identity. It is signed and not sealed: [FoldMembership] checks all of
// it without any secret. It also carries the secrets of every epoch, wrapped (age, X25519) to the devices and to the root.
//
// # Guarantees
//
//   - No secret prints. [Secret], [Secrets], [VolumeKeys] and [Keyring] show "[secret]" under fmt, slog and
//     encoding/json; the last three whatever the verb, and in whatever struct they stand. No error of this package holds a
//     key or a word of the phrase.
//   - A keyring file is whole or it is refused with [ErrDamaged]: a flipped bit never becomes another key.
//   - Everything here that becomes bytes is canonical DAG-CBOR with a version, specified in docs/FORMATS.md; a
//     decoder bounds what it reads, and refuses versions it does not know with [ErrNewer].
//
// It is not for names of people (they are in the sealed home volume), nor for the sealing of blocks (package ipld).
package identity
