package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
)

// newIdentity makes an identity and shows it at the mount's top.
func (d *daemon) newIdentity(ctx context.Context, q control.IdentityNewRequest) (control.Identity, error) {
	d.naming.Lock()
	defer d.naming.Unlock()
	if err := d.freeName(q.Name); err != nil {
		return control.Identity{}, err
	}
	k, err := d.newKeyring(q.Name)
	if err != nil {
		return control.Identity{}, err
	}
	if err := d.openIdentity(k); err != nil {
		return control.Identity{}, err
	}
	return describe(k), d.conn.Notified(ctx)
}

// freeName fails unless a new identity may be called name. The caller holds naming. An identity that was made and could not be
// brought to work has its name too.
func (d *daemon) freeName(name string) error {
	if err := identity.ValidName(name); err != nil {
		return control.Fail(control.Usage, err, "choose another name, of letters and digits for instance")
	}
	if _, err := d.named(name); err == nil {
		return control.Fail(control.InUse, fmt.Errorf("there is an identity %q already", name), "choose another name")
	}
	rings, err := identity.LoadKeyrings(d.st.FS(), d.st.Path(keyringDir))
	if err != nil {
		return err
	}
	if slices.ContainsFunc(rings, func(k *identity.Keyring) bool { return k.Name() == name }) {
		err := fmt.Errorf("there is an identity %q already, which could not be opened", name)
		return control.Fail(control.InUse, err, "unmount and mount again, or choose another name")
	}
	return nil
}

// renameIdentity changes what an identity is called on this device.
func (d *daemon) renameIdentity(ctx context.Context, q control.IdentityRenameRequest) (control.Identity, error) {
	d.naming.Lock()
	defer d.naming.Unlock()
	i, err := d.named(q.Name)
	if err != nil {
		return control.Identity{}, err
	}
	if err := d.freeName(q.To); err != nil {
		return control.Identity{}, err
	}
	if err := i.keys.SetName(q.To); err != nil {
		return control.Identity{}, err
	}
	if err := d.saveKeys(i.keys); err != nil {
		return control.Identity{}, errors.Join(err, i.keys.SetName(q.Name))
	}
	if err := d.fs.RenameIdentity(q.Name, q.To); err != nil {
		return control.Identity{}, err
	}
	return describe(i.keys), d.conn.Notified(ctx)
}

func phraseOf(k *identity.Keyring) (control.Phrase, error) {
	words, err := k.Phrase()
	if errors.Is(err, identity.ErrForgotten) {
		return control.Phrase{}, control.Fail(control.NotFound, err, "only the words that were written down bring it back")
	}
	if err != nil {
		return control.Phrase{}, err
	}
	return control.Phrase{Identity: k.Name(), Words: control.Words(words)}, nil
}

// forget removes the root secret from the device, if words are its phrase.
func forget(k *identity.Keyring, words control.Words, save func(*identity.Keyring) error) error {
	if _, err := phraseOf(k); err != nil {
		return err
	}
	if !identity.PhraseMatches(k, words.Reveal()) {
		return control.NewError(control.Usage, "these are not the words of the recovery phrase", "nothing was removed")
	}
	k.Forget()
	return save(k)
}

// Identities lists the identities of a store that no daemon serves.
func Identities(home string) ([]control.Identity, error) {
	rings, err := keyrings(home)
	if err != nil {
		return nil, err
	}
	list := []control.Identity{}
	for _, k := range rings {
		list = append(list, describe(k))
	}
	return list, nil
}

// Phrase returns the recovery phrase of an identity of a store that no daemon serves.
func Phrase(home, name string) (control.Phrase, error) {
	k, err := keyring(home, name)
	if err != nil {
		return control.Phrase{}, err
	}
	return phraseOf(k)
}

// Forget removes the root secret of an identity from a store that no daemon serves.
func Forget(home, name string, words control.Words) error {
	k, err := keyring(home, name)
	if err != nil {
		return err
	}
	return forget(k, words, func(k *identity.Keyring) error { return k.Save(vfs.Default, filepath.Join(home, keyringDir)) })
}

func keyrings(home string) ([]*identity.Keyring, error) {
	if _, err := os.Stat(home); err != nil {
		return nil, control.Fail(control.NotFound, fmt.Errorf("there is no store at %s", home), "make one with: rhizome mount")
	}
	rings, err := identity.LoadKeyrings(vfs.Default, filepath.Join(home, keyringDir))
	return rings, explain(err, Options{Home: home})
}

func keyring(home, name string) (*identity.Keyring, error) {
	rings, err := keyrings(home)
	if err != nil {
		return nil, err
	}
	for _, k := range rings {
		if k.Name() == name {
			return k, nil
		}
	}
	return nil, control.Fail(control.NotFound, fmt.Errorf("there is no identity %q", name), "see: rhizome identity list")
}
