package tests

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
	"github.com/rhizome-fs/rhizome/internal/leakcheck"
)

// planted is what a stranger must not learn from what leaves the device.
const (
	plantedDir   = "divorce-papers"
	plantedName  = "letter to the lawyer.txt"
	plantedXattr = "user.suspicion"
	plantedText  = "the combination of the safe is 36-24-07\n"
)

// TestSecrets lives through a day of a user's, a crash that may dump core included, and looks for keys in all that came
// out of it, and for names and contents in what is sealed.
func TestSecrets(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	traceback := "GOTRACEBACK=system"
	if *crashSeconds > 0 {
		traceback = "GOTRACEBACK=crash" // ends in a real abort, but takes its time
	}
	r.env = append(r.env, traceback)
	var told output // all that was printed, but for what is meant to show the phrase
	run := func(args ...string) result {
		res := r.rhizome(args...)
		fmt.Fprintf(&told, "%s%s", res.stdout, res.stderr)
		return res
	}
	allowCores(t)
	r.start()
	keys := r.secretsOfDay(run)
	phrase := r.rhizome("identity", "phrase", "me")
	words := lastLine(phrase.stdout)
	if !bytes.Contains(bytes.Join(keys, []byte("\n")), []byte(words)) || len(strings.Fields(words)) != identity.PhraseWords {
		t.Fatalf("the phrase was not shown: %q %s", phrase.stdout, phrase.stderr)
	}
	fmt.Fprint(&told, phrase.stderr)

	// The daemon crashes as hard as a Go program can, and must not leave its memory behind.
	cores := r.cores()
	if limits := string(readFile(t, fmt.Sprintf("/proc/%d/limits", r.pid()))); !noCore.MatchString(limits) {
		t.Errorf("the daemon may dump core:\n%s", limits)
	}
	if state := r.end(syscall.SIGABRT); state.Success() || state.Sys().(syscall.WaitStatus).CoreDump() {
		t.Errorf("after an abort: %v", state)
	}
	r.wantNoKeys(keys, nil)
	run("status")
	run("doctor")
	r.start()
	run("doctor", "--report", filepath.Join(r.state, "report"))
	if res := r.run(r.user, binary(t), "identity", "phrase", "--forget", "me"); res.code == 0 {
		t.Error("the phrase was forgotten without its words")
	} else {
		fmt.Fprint(&told, res.stdout, res.stderr)
	}
	r.stop()
	fmt.Fprint(&told, r.said.String(), r.logs())

	if err := leakcheck.Find([]byte(told.String()), keys...); err != nil {
		t.Errorf("output: %v", err)
	}
	r.wantNoKeys(keys, cores())
	r.wantSealed()
	r.wantAnonymous(filepath.Join(r.state, "report"))
	if err := leakcheck.Find(readAll(t, filepath.Join(r.home, "identities")), r.storedKeys()...); err == nil {
		t.Error("the search does not even find the keys where they are")
	}
}

var noCore = regexp.MustCompile(`Max core file size +0 `)

// secretsOfDay uses everything once, and returns the keys that were in use.
func (r *rig) secretsOfDay(run func(...string) result) [][]byte {
	t := r.t
	dir := r.me(plantedDir)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	from := rand.NewChaCha8([32]byte{})
	big := make([]byte, 0, 600<<10) // blocks, and nothing that compressing would hide
	for len(big) < 500<<10 {
		big = append(append(big, plantedText...), noise(from, 1000)...)
	}
	write(t, filepath.Join(dir, plantedName), []byte(plantedText))
	write(t, filepath.Join(dir, "big "+plantedName), big)
	if err := unix.Setxattr(filepath.Join(dir, plantedName), plantedXattr, []byte(plantedText), 0); err != nil {
		t.Fatal(err)
	}
	run("identity", "new", "work")
	run("identity", "new", "work")
	run("identity", "new", "../..")
	run("identity", "rename", "work", "job")
	run("identity", "list", "--json")
	run("identity", "phrase", "nobody")
	run("status", "--json")
	run("status", dir)
	run("log", "--json")
	run("log", filepath.Join(dir, plantedName))
	run("doctor")
	run("mount", r.mnt)
	run("mount", "--home", r.user, filepath.Join(r.user, "elsewhere"))
	var keys [][]byte
	rings, err := identity.LoadKeyrings(vfs.Default, filepath.Join(r.home, "identities"))
	if err != nil || len(rings) != 2 {
		t.Fatalf("%d keyrings: %v", len(rings), err)
	}
	for _, k := range rings {
		keys = append(keys, keysOf(t, k)...)
	}
	return append(keys, r.storedKeys()...)
}

// keysOf is what a keyring gives to those who may use it.
func keysOf(t testing.TB, k *identity.Keyring) [][]byte {
	words, err := k.Phrase()
	if err != nil {
		t.Fatal(err)
	}
	ino := k.InoKey()
	keys := [][]byte{[]byte(words), ino[:]}
	for _, name := range []string{"", plantedDir} {
		vk := k.VolumeKeys(k.VolumeID(name, 1))
		chunk, convergence := vk.ChunkKey(), vk.ConvergenceSecret(vk.Epoch())
		keys = append(keys, chunk[:], convergence[:])
		if key, ok := vk.FrameKey(vk.Epoch()); ok {
			keys = append(keys, key[:])
		}
	}
	return keys
}

// storedKeys is what the keyring files hold: docs/FORMATS.md, "Keyring".
func (r *rig) storedKeys() (keys [][]byte) {
	for _, path := range filesBelow(r.t, filepath.Join(r.home, "identities")) {
		var file struct {
			_       struct{} `cbor:",toarray"`
			Version uint64
			Body    []byte
			Sum     [32]byte
		}
		var body struct {
			_                        struct{} `cbor:",toarray"`
			Identity                 [32]byte
			Name, Root               []byte
			DeviceSeed, Agree, Local [32]byte
			Incarnation              uint64
			Secrets                  [][32]byte
			Genesis                  []byte
		}
		if err := dagcbor.Decode(readFile(r.t, path), &file); err != nil {
			r.t.Fatal(err)
		}
		if err := dagcbor.Decode(file.Body, &body); err != nil {
			r.t.Fatal(err)
		}
		keys = append(keys, body.Root, body.DeviceSeed[:], body.Agree[:], body.Local[:])
		for _, s := range body.Secrets {
			keys = append(keys, s[:])
		}
	}
	return keys
}

// allowCores lifts the limit on core dumps for the programs that the test starts from now on, as `ulimit -c unlimited` does.
func allowCores(t testing.TB) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_CORE, &limit)
	limit.Cur = limit.Max
	if err := errors.Join(err, unix.Setrlimit(unix.RLIMIT_CORE, &limit)); err != nil {
		t.Fatal(err)
	}
	if limit.Max == 0 {
		t.Log("nobody may dump core here")
	}
}

// cores returns what finds the core dumps of the daemon that runs now.
func (r *rig) cores() func() []string {
	pid := r.pid()
	return func() (found []string) {
		for _, pattern := range []string{filepath.Join(r.user, "core*"), fmt.Sprintf("/var/lib/systemd/coredump/*.%d.*", pid)} {
			names, _ := filepath.Glob(pattern)
			for _, name := range names {
				if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
					found = append(found, name)
				}
			}
		}
		return found
	}
}

// wantNoKeys fails if a file of the user's but the keyrings holds one, or a core dump does.
func (r *rig) wantNoKeys(keys [][]byte, cores []string) {
	for _, path := range slices.Concat(cores, filesBelow(r.t, r.home), filesBelow(r.t, r.state)) {
		if strings.HasPrefix(path, filepath.Join(r.home, "identities")+"/") {
			continue
		}
		if err := leakcheck.Find(readFile(r.t, path), keys...); err != nil {
			r.t.Errorf("%s: %v", path, err)
		}
	}
}

// wantSealed fails if what leaves the device shows a name or a content.
func (r *rig) wantSealed() {
	sealed := filesBelow(r.t, filepath.Join(r.home, "segments"))
	if len(sealed) == 0 {
		r.t.Fatal("nothing was sealed")
	}
	for _, path := range sealed {
		r.wantNothingPlanted(path)
	}
}

// wantAnonymous fails if a report for strangers says who and what.
func (r *rig) wantAnonymous(path string) {
	r.wantNothingPlanted(path)
	b := readFile(r.t, path)
	for _, private := range []string{r.user, r.home, r.mnt, "did:key"} {
		if bytes.Contains(b, []byte(private)) {
			r.t.Errorf("the report says %q", private)
		}
	}
}

func (r *rig) wantNothingPlanted(path string) {
	b := readFile(r.t, path)
	for _, s := range []string{plantedDir, plantedName, plantedXattr, plantedText} {
		if err := leakcheck.Find(b, []byte(s)); err != nil {
			r.t.Errorf("%s holds %q: %v", path, s, err)
		}
	}
}

func readAll(t testing.TB, dir string) (all []byte) {
	for _, path := range filesBelow(t, dir) {
		all = append(all, readFile(t, path)...)
	}
	return all
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// noise is bytes that don't compress.
func noise(from *rand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	_, _ = from.Read(b)
	return b
}
