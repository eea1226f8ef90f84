package backup

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/store"
	"github.com/rhizome-fs/rhizome/ipld"
)

const (
	manifestVersion = 2 // 1 has no origins, and is written while there are none
	maxManifest     = 256 << 20

	// signPrefix keeps a manifest's signature from being taken for any other.
	signPrefix = "rhizome backup 1\x00"
)

// signedManifest is the manifest as it is stored.
type signedManifest struct {
	_         struct{} `cbor:",toarray"`
	Version   uint64
	Body      []byte // a canonical manifest
	Signer    identity.DeviceID
	Signature [64]byte // by Signer, over signPrefix and Body
}

// A manifest says what a part holds.
type manifest struct {
	_        struct{} `cbor:",toarray"`
	Identity identity.IdentityID
	Time     int64    // what was before it, ns since 1970 by the device's clock, is in the backup
	Members  [][]byte // the membership log
	Next     uint64   // packs have numbers below it
	Packs    []pack
	Volumes  []volume
	Lacking  []ipld.CID // roots of contents that could not be read as a whole when they should have been copied
	Settings []byte     // the device's, sealed: the packs' writer knows them
	Origins  []Origin   // of volumes whose first frames are not in the packs
}

// manifest1 is a manifest of version 1.
type manifest1 struct {
	_        struct{} `cbor:",toarray"`
	Identity identity.IdentityID
	Time     int64
	Members  [][]byte
	Next     uint64
	Packs    []pack
	Volumes  []volume
	Lacking  []ipld.CID
	Settings []byte
}

// An Origin is a checkpoint from which a volume's log goes on: the frames in the packs are whole behind it.
type Origin struct {
	_      struct{} `cbor:",toarray"`
	Volume identity.VolumeID
	Index  eventlog.Index // the last one that the checkpoint has
	Roots  []ipld.CID     // of its tables, which are in the packs
	Sealed []byte         // what opens them, and what else a device must know: for who has the volume's keys
}

// A pack is a file of the part.
type pack struct {
	_    struct{} `cbor:",toarray"`
	Name string
	Size int64
	Hash [32]byte // SHA-256
}

// A volume says how much of one is in the packs.
type volume struct {
	_        struct{} `cbor:",toarray"`
	ID       identity.VolumeID
	Index    eventlog.Index       // the last one of which the packs have frames; 0: none
	Last     eventlog.FrameHash   // the last frame there
	Unplaced []eventlog.FrameHash // frames in the packs that have no place yet
}

// save signs a manifest and puts it in the place of the one before. It is on disk on return.
func (m *manifest) save(fs vfs.FS, dir string, device identity.DeviceID, sign func([]byte) [64]byte) error {
	version, body := m.encode()
	s := signedManifest{
		Version: version, Body: body, Signer: device, Signature: sign(append([]byte(signPrefix), body...)),
	}
	return store.WriteFile(fs, fs.PathJoin(dir, manifestFile), dagcbor.Encode(s))
}

// encode returns the body, and its version: the lowest that can say it.
func (m *manifest) encode() (version uint64, body []byte) {
	if len(m.Origins) > 0 {
		return manifestVersion, dagcbor.Encode(m)
	}
	return 1, dagcbor.Encode(&manifest1{
		Identity: m.Identity, Time: m.Time, Members: m.Members, Next: m.Next, Packs: m.Packs, Volumes: m.Volumes,
		Lacking: m.Lacking, Settings: m.Settings,
	})
}

// decodeManifest reads a body.
func decodeManifest(version uint64, body []byte) (*manifest, error) {
	if version == manifestVersion {
		m := &manifest{}
		err := dagcbor.Decode(body, m)
		if err == nil && len(m.Origins) == 0 {
			err = errors.New("a manifest without origins is of version 1")
		}
		return m, err
	}
	var old manifest1
	err := dagcbor.Decode(body, &old)
	return &manifest{
		Identity: old.Identity, Time: old.Time, Members: old.Members, Next: old.Next, Packs: old.Packs, Volumes: old.Volumes,
		Lacking: old.Lacking, Settings: old.Settings,
	}, err
}

// loadManifest reads a part's manifest. It fails with ErrNotExist if there is none.
func loadManifest(fs vfs.FS, dir string) (*manifest, error) {
	raw, err := readAll(fs, fs.PathJoin(dir, manifestFile), maxManifest)
	if err != nil {
		if errors.Is(err, iofs.ErrNotExist) || errors.Is(err, ErrDamaged) {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", manifestFile, err)
	}
	m, err := parseManifest(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", manifestFile, err)
	}
	return m, nil
}

// parseManifest decodes a manifest and checks all that can be checked in it.
func parseManifest(raw []byte) (*manifest, error) {
	var s signedManifest
	if len(raw) > 2 && raw[0] == 0x84 && (raw[1] == 0 || raw[1] > manifestVersion) {
		return nil, ErrVersion
	}
	if err := dagcbor.Decode(raw, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if !identity.Verify(s.Signer, append([]byte(signPrefix), s.Body...), s.Signature) {
		return nil, fmt.Errorf("%w: its signature is wrong", ErrDamaged)
	}
	m, err := decodeManifest(s.Version, s.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	members, err := identity.FoldMembership(m.Members)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if members.Identity() != m.Identity || !members.Allows(s.Signer) {
		return nil, fmt.Errorf("%w: its signer is no device of the identity", ErrDamaged)
	}
	for _, p := range m.Packs {
		if !isPack(p.Name) || p.Size < 0 {
			return nil, fmt.Errorf("%w: it names %q", ErrDamaged, p.Name)
		}
	}
	return m, nil
}

func (m *manifest) volume(id identity.VolumeID) (volume, bool) {
	i := slices.IndexFunc(m.Volumes, func(v volume) bool { return v.ID == id })
	if i < 0 {
		return volume{ID: id}, false
	}
	return m.Volumes[i], true
}

func (m *manifest) origin(id identity.VolumeID) (Origin, bool) {
	i := slices.IndexFunc(m.Origins, func(o Origin) bool { return o.Volume == id })
	if i < 0 {
		return Origin{}, false
	}
	return m.Origins[i], true
}

func (m *manifest) time() time.Time { return time.Unix(0, m.Time) }
