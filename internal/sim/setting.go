package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/ipld"
)

// maxDevices is how many devices there are keys for.
const maxDevices = 4

// A Setting is what all histories share: keys, and what seals content. It does not change.
type Setting struct {
	volume  identity.VolumeID
	keys    *identity.VolumeKeys
	sealer  *ipld.Sealer
	devices []*identity.Keyring
	members map[identity.DeviceID]bool
}

// NewSetting makes the keys: always the same.
func NewSetting() (*Setting, error) {
	s := &Setting{members: map[identity.DeviceID]bool{}}
	entropy := rand.NewChaCha8([32]byte{'s', 'i', 'm'})
	for i := range maxDevices {
		k, err := identity.NewIdentity(entropy, fmt.Sprintf("device%d", i), time.Unix(1, 0))
		if err != nil {
			return nil, err
		}
		s.devices = append(s.devices, k)
		s.members[k.Device()] = true
	}
	s.volume = s.devices[0].VolumeID("notes", 1)
	s.keys = s.devices[0].VolumeKeys(s.volume)
	s.sealer = ipld.NewSealer(s.keys.ConvergenceSecret(s.keys.Epoch()), s.keys.ChunkKey())
	return s, nil
}
