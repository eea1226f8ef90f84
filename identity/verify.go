package identity

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	iofs "io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/internal/report"
)

// VerifyKeyrings checks every keyring in dir, and returns those that are whole. The error is the disk's.
func VerifyKeyrings(fs vfs.FS, dir string, r *report.Report) ([]*Keyring, error) {
	names, err := fs.List(dir)
	if err != nil {
		if errors.Is(err, iofs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("verify keyrings %s: %w", dir, err)
	}
	var all []*Keyring
	for _, name := range names {
		if !strings.HasSuffix(name, keyringSuffix) {
			continue
		}
		r.Checked(report.Keyring, 1)
		path := fs.PathJoin(dir, name)
		k, err := loadKeyring(fs, path)
		switch {
		case errors.Is(err, ErrNewer):
			r.Bad(report.Keyring, path, report.Nothing, "%v: use the version of rhizome that made it", err)
		case errors.Is(err, ErrDamaged), errors.Is(err, ErrBadSignature), errors.Is(err, ErrUnknownSigner), errors.Is(err, ErrBrokenChain):
			r.Bad(report.Keyring, path, report.Nothing, "%v: with the recovery phrase and a backup, see rhizome recover", err)
		case err != nil:
			return nil, fmt.Errorf("verify keyring %s: %w", path, err)
		case k.fileName() != name:
			r.Bad(report.Keyring, path, report.Nothing, "it is the keyring of %v", k.ID())
		default:
			all = append(all, k)
		}
	}
	return all, nil
}

// VerifyMembership checks the membership log of an identity that the database has: each entry and its number, key the last 8 bytes of its
// key there. k is the identity's keyring. It returns what the log says as far as it is whole.
func VerifyMembership(k *Keyring, entries func(fn func(number, entry []byte) error) error, r *report.Report) (*Membership, error) {
	var good [][]byte
	var m *Membership
	where := func(n int) string { return fmt.Sprintf("%s: membership entry %d", k.Name(), n) }
	err := entries(func(number, entry []byte) error {
		r.Checked(report.Membership, 1)
		n := len(good) + 1
		if len(number) != 8 || binary.BigEndian.Uint64(number) != uint64(n) {
			r.Bad(report.Membership, where(n), report.Copy, "it is missing: there is one of number %x", number)
			return nil
		}
		fold, err := FoldMembership(append(good, entry))
		switch {
		case err == nil:
			good, m = append(good, bytes.Clone(entry)), fold
		case n == 1:
			r.Bad(report.Membership, where(n), report.Rebuild, "%v", err)
		default:
			r.Bad(report.Membership, where(n), report.Copy, "%v", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	switch {
	case m == nil: // the keyring has the beginning
		if r.Counts()[report.Membership] == 0 {
			r.Bad(report.Membership, where(1), report.Rebuild, "it is missing")
		}
		return FoldMembership([][]byte{k.Genesis()})
	case m.Identity() != k.ID():
		r.Bad(report.Membership, where(1), report.Rebuild, "it is of another identity")
	case !m.Allows(k.Device()):
		r.Bad(report.Membership, where(m.Len()), report.Nothing, "this device is no member")
	}
	return m, nil
}
