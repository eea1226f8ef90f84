package fs

import (
	"fmt"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/ipld"
)

// A store that was filled from a backup, and not by an FS, lacks the device's own records of what is in it. These make them, before an FS
// opens the logs.

// RememberVolumes notes in the log of a home volume which volumes have a log here: those that were removed are then opened with the others,
// since their versions must be kept.
func RememberVolumes(home *eventlog.Log, ids []identity.VolumeID) error {
	_, err := home.Update(func(t *eventlog.Tx) error {
		for _, id := range ids {
			if id != home.Volume() {
				t.SetLocal(localKey(localVolume, id), []byte{})
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remember volumes: %w", err)
	}
	return nil
}

// ExpireAbsent notes of each version whose content here reports to be absent that its bytes are not kept any more: it had expired where the
// backup was written.
func ExpireAbsent(log *eventlog.Log, here func(ipld.Content) (bool, error)) error {
	var gone []tree.VersionID
	var failed error
	err := log.Snapshot(func(r eventlog.Reader) {
		failed = tree.Reachable(r, func(ver tree.Version) error {
			ok, err := here(ver.Content)
			if err == nil && !ok {
				gone = append(gone, ver.ID)
			}
			return err
		})
	})
	if err == nil {
		err = failed
	}
	for len(gone) > 0 && err == nil {
		n := min(len(gone), expireChunk)
		_, err = log.Update(func(t *eventlog.Tx) error {
			for _, id := range gone[:n] {
				t.SetLocal(localKey(localExpired, id), []byte{})
			}
			return nil
		})
		gone = gone[n:]
	}
	if err != nil {
		return fmt.Errorf("expire what is not here: %w", err)
	}
	return nil
}

// KeptContents calls fn for the contents of a volume that its history keeps, until it returns an error.
func (f *FS) KeptContents(id identity.VolumeID, fn func(ipld.Content) error) error {
	v, ok := f.volume(id)
	if !ok {
		return fmt.Errorf("volume %v: %w", id, ErrNotExist)
	}
	gone, err := v.expired()
	if err != nil {
		return err
	}
	return v.reachable(gone, fn)
}
