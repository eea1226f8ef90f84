package identity

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
)

// A chain makes membership logs, right and wrong ones.
type chain struct {
	t       testing.TB
	id      IdentityID
	entries [][]byte
}

func (c *chain) head() (h [32]byte) {
	if len(c.entries) > 0 {
		e, err := parseEntry(c.entries[len(c.entries)-1])
		if err != nil {
			c.t.Fatal(err)
		}
		h = e.hash
	}
	return h
}

// admission is an entry that names m, ready to be signed, or spoiled first.
func (c *chain) admission(m Member) entryBody {
	p := admitPayload{New: m}
	if m.Role == RoleWriter {
		p.Wrapped = []byte("stands for an age file")
	}
	return entryBody{Identity: c.id, Seq: uint64(len(c.entries)) + 1, Prev: c.head(), Time: 1, Kind: kindAdmit, Payload: encodePayload(p)}
}

func (c *chain) admit(m Member, signer ed25519.PrivateKey) {
	c.entries = append(c.entries, signEntry(c.admission(m), signer))
}

func member(k *Keyring, role Role) Member {
	return Member{Device: k.Device(), Agree: k.agreePublic(), Role: role}
}

// fourDevices is a log of four entries: the first device, a second one that it admits, a keeper that the second
// one admits, and a third writer that the root admits. The keyrings are the devices', in that order.
func fourDevices(t testing.TB) (*chain, []*Keyring) {
	var ks []*Keyring
	for seed := range byte(4) {
		ks = append(ks, newKeyring(t, seed+1))
	}
	c := &chain{t: t, id: ks[0].ID(), entries: [][]byte{ks[0].Genesis()}}
	c.admit(member(ks[1], RoleWriter), ks[0].sign())
	c.admit(member(ks[2], RoleKeeper), ks[1].sign())
	c.admit(member(ks[3], RoleWriter), newRoot(ks[0].entropy()).sign())
	return c, ks
}

func TestFoldMembership(t *testing.T) {
	c, ks := fourDevices(t)
	m, err := FoldMembership(c.entries)
	if err != nil {
		t.Fatal(err)
	}
	if m.Identity() != ks[0].ID() || m.Len() != 4 || m.Head() != c.head() || m.Epoch() != 1 {
		t.Error("wrong facts")
	}
	for i, want := range []bool{true, true, false, true} {
		if m.Allows(ks[i].Device()) != want {
			t.Errorf("device %d: allowed is %v", i, !want)
		}
		if got, is := m.Member(ks[i].Device()); !is || got.Agree != ks[i].agreePublic() {
			t.Errorf("device %d: %v", i, got)
		}
	}
	if m.Allows(DeviceID(m.Identity())) || m.Allows(newKeyring(t, 9).Device()) {
		t.Error("a stranger is allowed")
	}
	if got := m.Members(); len(got) != 4 || got[2].Role != RoleKeeper {
		t.Errorf("%v", got)
	}
	// Every beginning of a log is a log.
	for n := 1; n < 4; n++ {
		if m, err := FoldMembership(c.entries[:n]); err != nil || m.Len() != n {
			t.Errorf("first %d entries: %v", n, err)
		}
	}
}

// Any selection and order of the entries but a beginning is refused.
func TestFoldRefusesEveryOtherOrder(t *testing.T) {
	c, _ := fourDevices(t)
	var try func(order []int)
	try = func(order []int) {
		if len(order) > 0 {
			var entries [][]byte
			beginning := true
			for i, n := range order {
				entries = append(entries, c.entries[n])
				beginning = beginning && n == i
			}
			if _, err := FoldMembership(entries); (err == nil) != beginning {
				t.Errorf("%v: %v", order, err)
			}
		}
		if len(order) < 5 {
			for n := range c.entries {
				try(append(slices.Clone(order), n))
			}
		}
	}
	try(nil)
	if _, err := FoldMembership(nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("no entries: %v", err)
	}
}

func TestFoldRefuses(t *testing.T) {
	stranger := newKeyring(t, 9)
	for name, c := range map[string]struct {
		want error
		last func(c *chain, ks []*Keyring) []byte // what is added to the four
	}{
		"replay":        {ErrReplay, func(c *chain, ks []*Keyring) []byte { return c.entries[2] }},
		"founded again": {ErrReplay, func(c *chain, ks []*Keyring) []byte { return c.entries[0] }},
		"device again": {ErrReplay, func(c *chain, ks []*Keyring) []byte {
			return signEntry(c.admission(member(ks[1], RoleWriter)), ks[0].sign())
		}},
		"fork": {ErrFork, func(c *chain, ks []*Keyring) []byte {
			early := &chain{t: c.t, id: c.id, entries: c.entries[:2]}
			return signEntry(early.admission(member(stranger, RoleWriter)), ks[0].sign())
		}},
		"fork of the first": {ErrFork, func(c *chain, ks []*Keyring) []byte {
			raw, err := found(newRoot(ks[0].entropy()), member(stranger, RoleWriter), stranger.epochs[0](), 2)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}},
		"fork by a stranger": {ErrUnknownSigner, func(c *chain, ks []*Keyring) []byte {
			early := &chain{t: c.t, id: c.id, entries: c.entries[:2]}
			return signEntry(early.admission(member(stranger, RoleWriter)), stranger.sign())
		}},
		"signed by a stranger": {ErrUnknownSigner, func(c *chain, ks []*Keyring) []byte {
			return signEntry(c.admission(member(stranger, RoleWriter)), stranger.sign())
		}},
		"signed by a stranger's root": {ErrUnknownSigner, func(c *chain, ks []*Keyring) []byte {
			return signEntry(c.admission(member(stranger, RoleWriter)), newRoot(stranger.entropy()).sign())
		}},
		"signed by a keeper": {ErrUnknownSigner, func(c *chain, ks []*Keyring) []byte {
			return signEntry(c.admission(member(stranger, RoleWriter)), ks[2].sign())
		}},
		"another's hash before": {ErrBrokenChain, func(c *chain, ks []*Keyring) []byte {
			b := c.admission(member(stranger, RoleWriter))
			b.Prev[5] ^= 1
			return signEntry(b, ks[0].sign())
		}},
		"no hash before": {ErrBrokenChain, func(c *chain, ks []*Keyring) []byte {
			b := c.admission(member(stranger, RoleWriter))
			b.Prev = [32]byte{}
			return signEntry(b, ks[0].sign())
		}},
		"number left out": {ErrBrokenChain, func(c *chain, ks []*Keyring) []byte {
			b := c.admission(member(stranger, RoleWriter))
			b.Seq++
			return signEntry(b, ks[0].sign())
		}},
		"number zero": {ErrBrokenChain, func(c *chain, ks []*Keyring) []byte {
			b := c.admission(member(stranger, RoleWriter))
			b.Seq = 0
			return signEntry(b, ks[0].sign())
		}},
		"of another identity": {ErrBrokenChain, func(c *chain, ks []*Keyring) []byte {
			b := c.admission(member(stranger, RoleWriter))
			b.Identity = stranger.ID()
			return signEntry(b, ks[0].sign())
		}},
		"signed as something else": {ErrBadSignature, func(c *chain, ks []*Keyring) []byte {
			var s signedEntry
			raw := signEntry(c.admission(member(stranger, RoleWriter)), ks[0].sign())
			if err := decodeVersioned(raw, &s, &s.Version, entryVersion); err != nil {
				t.Fatal(err)
			}
			s.Signature = ks[0].Sign(s.Body)
			return encodePayload(s)
		}},
		"the root as a device": {ErrDamaged, func(c *chain, ks []*Keyring) []byte {
			return signEntry(c.admission(Member{Device: DeviceID(c.id), Role: RoleKeeper}), ks[0].sign())
		}},
		"found at another place": {ErrDamaged, func(c *chain, ks []*Keyring) []byte {
			b := c.admission(member(stranger, RoleWriter))
			b.Kind = kindFound
			b.Payload = encodePayload(foundPayload{First: member(stranger, RoleWriter), Wrapped: []byte("x")})
			return signEntry(b, newRoot(ks[0].entropy()).sign())
		}},
		"writer without secrets": {ErrDamaged, func(c *chain, ks []*Keyring) []byte {
			b := c.admission(member(stranger, RoleWriter))
			b.Payload = encodePayload(admitPayload{New: member(stranger, RoleWriter)})
			return signEntry(b, ks[0].sign())
		}},
		"keeper with secrets": {ErrDamaged, func(c *chain, ks []*Keyring) []byte {
			b := c.admission(member(stranger, RoleKeeper))
			b.Payload = encodePayload(admitPayload{New: member(stranger, RoleKeeper), Wrapped: []byte("x")})
			return signEntry(b, ks[0].sign())
		}},
		"role to come": {ErrNewer, func(c *chain, ks []*Keyring) []byte {
			return signEntry(c.admission(member(stranger, 3)), ks[0].sign())
		}},
		"kind to come": {ErrNewer, func(c *chain, ks []*Keyring) []byte {
			b := c.admission(member(stranger, RoleWriter))
			b.Kind = 3
			return signEntry(b, ks[0].sign())
		}},
		"version to come": {ErrNewer, func(c *chain, ks []*Keyring) []byte { return encodePayload([]any{2, "anything"}) }},
		"version that is no": {ErrDamaged, func(c *chain, ks []*Keyring) []byte {
			return encodePayload([]any{0, []byte{}, ks[0].Device(), [64]byte{}})
		}},
		"payload of another": {ErrDamaged, func(c *chain, ks []*Keyring) []byte {
			b := c.admission(member(stranger, RoleWriter))
			b.Payload = encodePayload("text")
			return signEntry(b, ks[0].sign())
		}},
		"nothing":  {ErrDamaged, func(c *chain, ks []*Keyring) []byte { return nil }},
		"too long": {ErrDamaged, func(c *chain, ks []*Keyring) []byte { return make([]byte, MaxEntry+1) }},
		"a byte more": {ErrDamaged, func(c *chain, ks []*Keyring) []byte {
			return append(signEntry(c.admission(member(stranger, RoleWriter)), ks[0].sign()), 0)
		}},
	} {
		log, ks := fourDevices(t)
		_, err := FoldMembership(append(slices.Clone(log.entries), c.last(log, ks)))
		if !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "membership entry 5: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFoldRefusesBadBeginnings(t *testing.T) {
	k, stranger := newKeyring(t, 1), newKeyring(t, 9)
	c := &chain{t: t, id: k.ID()}
	body := func(p foundPayload) entryBody {
		return entryBody{Identity: k.ID(), Seq: 1, Kind: kindFound, Payload: encodePayload(p)}
	}
	good := foundPayload{First: member(k, RoleWriter), Wrapped: []byte("x")}
	keeper := foundPayload{First: member(k, RoleKeeper)}
	r := newRoot(k.entropy()).sign()
	if _, err := FoldMembership([][]byte{signEntry(body(good), r)}); err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{
		"signed by the device itself": signEntry(body(good), k.sign()),
		"signed by another root":      signEntry(body(good), newRoot(stranger.entropy()).sign()),
		"a keeper first":              signEntry(body(keeper), r),
		"an admission first":          signEntry(c.admission(member(k, RoleWriter)), r),
	} {
		if _, err := FoldMembership([][]byte{raw}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestFoldRefusesAFlippedBitAnywhere(t *testing.T) {
	c, _ := fourDevices(t)
	for n, raw := range c.entries[:2] {
		for i := range raw {
			spoiled := bytes.Clone(raw)
			spoiled[i] ^= 1 << (i % 8)
			entries := slices.Clone(c.entries[:2])
			entries[n] = spoiled
			if _, err := FoldMembership(entries); err == nil {
				t.Fatalf("entry %d, byte %d: taken", n+1, i)
			}
		}
	}
}

// Nothing is lost with the words and the log.
func TestRecoverSecrets(t *testing.T) {
	c, ks := fourDevices(t)
	phrase, err := ks[0].Phrase()
	if err != nil {
		t.Fatal(err)
	}
	ks[0].Forget()
	v := ks[0].VolumeID("notes", 0)
	nonce, sealed, err := ks[0].VolumeKeys(v).SealFrame(seeded(5), 1, nil, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := RecoverSecrets(phrase, c.entries)
	if err != nil {
		t.Fatal(err)
	}
	if s.ID() != ks[0].ID() || s.Epoch() != 1 || s.VolumeID("notes", 0) != v {
		t.Error("other secrets")
	}
	if plain, err := s.VolumeKeys(v).OpenFrame(1, nonce, nil, sealed); err != nil || string(plain) != "hello" {
		t.Errorf("%q, %v", plain, err)
	}

	other, err := ks[1].Phrase()
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{other, "", "legal winner", phrase + " zoo"} {
		if _, err := RecoverSecrets(wrong, c.entries); !errors.Is(err, ErrBadPhrase) {
			t.Errorf("wrong phrase: %v", err)
		}
	}
	if _, err := RecoverSecrets(phrase, c.entries[1:]); err == nil {
		t.Error("recovered from a log without its beginning")
	}
}

func TestWrappedSecrets(t *testing.T) {
	k, other := newKeyring(t, 1), newKeyring(t, 2)
	e, err := parseEntry(k.Genesis())
	if err != nil {
		t.Fatal(err)
	}
	file := e.payload.(*foundPayload).Wrapped
	for who, key := range map[string]*Keyring{"the device": k, "another": other} {
		w, err := unwrap(file, k.ID(), key.agree())
		if key == other {
			if !errors.Is(err, ErrSealed) {
				t.Errorf("%s: %v", who, err)
			}
		} else if err != nil || w.First != 1 || len(w.Secrets) != 1 || Secret(w.Secrets[0]) != *k.epochs[0]() {
			t.Errorf("%s: %v", who, err)
		}
	}
	if _, err := unwrap(file, other.ID(), k.agree()); !errors.Is(err, ErrDamaged) {
		t.Errorf("in another identity's log: %v", err)
	}
	for i := range file {
		spoiled := bytes.Clone(file)
		spoiled[i] ^= 0x11
		if _, err := unwrap(spoiled, k.ID(), k.agree()); err == nil {
			t.Fatalf("byte %d spoiled: opened", i)
		}
		if _, err := unwrap(file[:i], k.ID(), k.agree()); err == nil {
			t.Fatalf("cut to %d bytes: opened", i)
		}
	}
	// Signed and well wrapped, but not the secret that the entry vouches for.
	r := newRoot(k.entropy())
	w, err := wrap(wrapped{Identity: k.ID(), First: 1, Secrets: [][32]byte{*other.epochs[0]()}}, [32]byte(r.agree().PublicKey().Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	lie := signEntry(entryBody{Identity: k.ID(), Seq: 1, Kind: kindFound,
		Payload: encodePayload(foundPayload{First: member(k, RoleWriter), Check: checkOf(k.epochs[0]()), Wrapped: w})}, r.sign())
	phrase, err := k.Phrase()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RecoverSecrets(phrase, [][]byte{lie}); !errors.Is(err, ErrDamaged) {
		t.Errorf("another secret: %v", err)
	}
}
