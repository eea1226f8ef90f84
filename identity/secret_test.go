package identity

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"github.com/rhizome-fs/rhizome/internal/leakcheck"
)

// keyBytes are all the secrets that a keyring holds or makes.
func keyBytes(t *testing.T, k *Keyring) [][]byte {
	t.Helper()
	all := [][]byte{k.entropy()[:], k.sign().Seed(), k.agree().Bytes(), k.local()[:]}
	r := newRoot(k.entropy())
	all = append(all, r.sign().Seed(), r.agree().Bytes())
	for _, s := range []Secret{*k.epochs[0](), k.InoKey()} {
		all = append(all, s[:])
	}
	v := k.VolumeKeys(k.VolumeID("notes", 0))
	frame, ok := v.FrameKey(1)
	if !ok {
		t.Fatal("no frame key")
	}
	for _, s := range []Secret{frame, v.ConvergenceSecret(1), v.ChunkKey()} {
		all = append(all, s[:])
	}
	return all
}

const (
	verbs = "%v %+v %#v %s %q %x %X %#x %d %c %U %o %b %e %t %T %10.3v"
	// faulty are verbs that make fmt call a value's use a mistake, and print it past all methods.
	faulty = " %p %w %!"
)

// show prints v in every way in which Go programs do.
func show(t *testing.T, v any, verbs string) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, verb := range strings.Fields(verbs) {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", []any{v, map[string]any{"k": v}, struct{ V any }{v}, &v})
	}
	fmt.Fprintln(&out, fmt.Sprint(v), fmt.Errorf("failed on %v: %w", v, errors.New("cause")))
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).With("with", v).Error("log", "v", v, slog.Group("g", "v", v), "list", []any{v})
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, xml.Marshal} {
		b, err := marshal(v)
		fmt.Fprintf(&out, "%s %v\n", b, err)
	}
	if err := template.Must(template.New("").Parse("{{.}} {{printf \"%#v\" .}}")).Execute(&out, v); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { fmt.Fprintln(&out, recover()) }()
		panic(v)
	}()
	return out.Bytes()
}

func TestSecretsDoNotPrint(t *testing.T) {
	k := newKeyring(t, 1)
	secrets := keyBytes(t, k)
	keys := k.VolumeKeys(k.VolumeID("notes", 0))
	frame, _ := keys.FrameKey(1)
	r := newRoot(k.entropy())
	for name, v := range map[string]any{
		"Secret": frame, "*Secret": &frame, "[]Secret": []Secret{frame}, "map": map[string]*Secret{"a": &frame},
		"exported field": struct{ S Secret }{frame},
	} {
		if err := leakcheck.Find(show(t, v, verbs), secrets...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is kept and passed around is safe whatever a program does to it, also in the hidden fields of its structs.
	for name, v := range map[string]any{
		"Keyring": k, "hidden Keyring": struct{ k *Keyring }{k},
		"Secrets": k.Secrets, "*Secrets": *k.Secrets, "hidden Secrets": struct{ s Secrets }{*k.Secrets},
		"VolumeKeys": keys, "*VolumeKeys": *keys, "hidden VolumeKeys": struct{ k VolumeKeys }{*keys},
		"root": r, "*root": &r, "hidden root": struct{ r root }{r},
	} {
		if err := leakcheck.Find(show(t, v, verbs+faulty), secrets...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := fmt.Sprintf("%x %v", frame, k); got != "[secret] [secret]" {
		t.Error(got)
	}
}

// The search would find them.
func TestSearchFindsWhatDoesPrint(t *testing.T) {
	frame, _ := newKeyring(t, 1).VolumeKeys(VolumeID{}).FrameKey(1)
	if leakcheck.Find(show(t, [32]byte(frame), verbs), frame[:]) == nil {
		t.Error("a plain array was not found")
	}
}

func TestMembershipHoldsNoSecret(t *testing.T) {
	k := newKeyring(t, 1)
	if err := leakcheck.Find(k.Genesis(), keyBytes(t, k)...); err != nil {
		t.Error(err)
	}
}
