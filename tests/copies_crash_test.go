package tests

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestCopiesCrash kills backups, exports and recoveries (-9) at random moments: the backup is always whole, an export is whole or not there, a
// recovery shows all or nothing; and each comes to its end when it is done again. -crash N goes on for so many seconds.
func TestCopiesCrash(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	phrase := filepath.Join(r.user, "phrase")
	write(t, phrase, []byte(lastLine(r.rhizome("identity", "phrase").stdout)))
	notes := r.me("notes")
	if err := os.Mkdir(notes, 0o755); err != nil {
		t.Fatal(err)
	}
	plantKinds(t, notes)
	want := pictureOf(t, notes)
	r.stop()
	seed := seeded(t, "crash", 1, *crashSeed, *crashSeconds)
	rng := rand.New(rand.NewPCG(seed, 1))
	until := time.Now().Add(time.Duration(*crashSeconds) * time.Second)
	if *crashSeconds > 0 {
		r.bound(time.Until(until) + rigBound)
	}
	for n := 0; n == 0 || time.Now().Before(until); n++ {
		c := copies{rig: r, rng: rng, phrase: phrase, want: want, dir: filepath.Join(r.user, "copies")}
		c.round()
		if t.Failed() {
			t.Fatalf("round %d of seed %d", n, seed)
		}
		if err := os.RemoveAll(c.dir); err != nil {
			t.Fatal(err)
		}
	}
	if res := r.rhizome("verify", "--deep"); res.code != 0 {
		t.Error(res.stdout, res.stderr)
	}
}

// copies are a backup, an export and a recovered store.
type copies struct {
	*rig
	rng    *rand.Rand
	phrase string
	want   []string
	dir    string
}

func (c copies) round() {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	backup, out, home := filepath.Join(c.dir, "backup"), filepath.Join(c.dir, "out"), filepath.Join(c.dir, "home")
	c.killed("backup", backup)
	// 2: it is no backup yet; 4: its first run did not come to its end.
	if res := c.rhizome("backup", "--check", backup); res.code != 0 && res.code != 2 && res.code != 4 {
		c.t.Errorf("a backup that was killed: %d %s%s", res.code, res.stdout, res.stderr)
	}
	c.must("backup", backup)
	c.must("backup", "--check", backup)

	c.killed("export", "me/notes", "--dir", out)
	if _, err := os.Stat(out); err != nil {
		c.must("export", "me/notes", "--dir", out)
	}
	wantPicture(c.t, pictureOf(c.t, out), c.want)

	c.killed("recover", "--home", home, "--from", backup, "--phrase-file", c.phrase)
	if ids := c.rhizome("identity", "list", "--home", home); ids.stdout == "" {
		c.must("recover", "--home", home, "--from", backup, "--phrase-file", c.phrase)
	}
	again := filepath.Join(c.dir, "again")
	c.must("export", "--home", home, "me/notes", "--dir", again)
	wantPicture(c.t, pictureOf(c.t, again), c.want)
}

// killed runs a command and kills it after a moment.
func (c copies) killed(args ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(c.rng.IntN(400))*time.Millisecond)
	defer cancel()
	_ = c.command(ctx, "rhizome", args...).Run()
}

func (c copies) must(args ...string) {
	c.t.Helper()
	if res := c.rhizome(args...); res.code != 0 {
		c.t.Fatalf("%q: %s%s", args, res.stdout, res.stderr)
	}
}
