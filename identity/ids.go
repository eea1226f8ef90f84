package identity

// A DeviceID is a device's Ed25519 public key within one identity.
type DeviceID [32]byte

// An IdentityID is an identity's Ed25519 root public key.
type IdentityID [32]byte

// A VolumeID names a volume. For volumes that an identity makes itself it comes from the identity's
// secret, the volume's name and a generation, so that two devices that make the same volume make one.
type VolumeID [16]byte
