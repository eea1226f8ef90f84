package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/fs"
	"github.com/rhizome-fs/rhizome/fs/tree"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/leakcheck"
)

// backupTo backs d up, and returns what was told of each identity.
func backupTo(t testing.TB, d *daemon, dir string) (all []control.BackupResult) {
	t.Helper()
	err := d.backup(t.Context(), control.BackupRequest{Dir: control.Name(dir)}, func(e control.BackupEvent) error {
		if e.Result != nil {
			all = append(all, *e.Result)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// states is all that the logs of an identity lead to, by volume.
func states(t testing.TB, d *daemon, name string) map[identity.VolumeID]string {
	t.Helper()
	i, err := d.named(name)
	if err != nil {
		t.Fatal(err)
	}
	all := map[identity.VolumeID]string{}
	for _, l := range i.allLogs() {
		var b bytes.Buffer
		err := l.Snapshot(func(r eventlog.Reader) {
			r.Scan(nil, nil, func(k, v []byte) bool {
				fmt.Fprintf(&b, "%x=%x\n", k, v)
				return true
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		err = l.Entries(eventlog.Position{}, func(e eventlog.Entry) bool {
			fmt.Fprintf(&b, "%x %d %d %x\n", e.Author.Feed, e.Seq, e.Event.Time, e.Event.Body)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		all[l.Volume()] = b.String()
	}
	return all
}

func same(t testing.TB, what string, got, want map[identity.VolumeID]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d volumes, were %d", what, len(got), len(want))
	}
	for v := range want {
		if got[v] != want[v] {
			t.Fatalf("%s: volume %v differs:\n%s\nwas\n%s", what, v, got[v], want[v])
		}
	}
}

func phraseOfIdentity(t testing.TB, d *daemon, name string) control.Words {
	t.Helper()
	i, err := d.named(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := phraseOf(i.keys)
	if err != nil {
		t.Fatal(err)
	}
	return p.Words
}

func recovered(t testing.TB, home, from string, words control.Words) control.Recovered {
	t.Helper()
	res, err := Recover(t.Context(), Options{Home: home}, RecoverRequest{From: from, Words: words}, func(control.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// liveALittle leaves files of every size, versions, removed files, a removed volume and attributes.
func liveALittle(t testing.TB, d *daemon) {
	t.Helper()
	notes, mail := volume(t, d, "notes"), volume(t, d, "mail")
	for n := range 30 {
		write(t, d, notes, fmt.Sprint("file ", n), bytes.Repeat([]byte{byte(n)}, n*n*100))
		write(t, d, mail, fmt.Sprint("letter ", n), fmt.Appendf(nil, "letter %d", n))
	}
	e, err := d.fs.Lookup(notes, "file 20")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		if _, err := d.fs.Write(e.Node, fmt.Appendf(nil, "version %d", n), int64(n*1000)); err != nil {
			t.Fatal(err)
		}
		if err := d.fs.Flush(e.Node); err != nil {
			t.Fatal(err)
		}
	}
	err = errors.Join(
		d.fs.SetXattr(e.Node, "user.colour", []byte("blue"), 0),
		d.fs.Unlink(notes, "file 3"),
		d.fs.Rename(notes, "file 4", notes, "renamed", 0),
	)
	me, _ := d.fs.Lookup(fs.Root, firstIdentity)
	gone, err2 := d.fs.Mkdir(me.Node, "gone", 0o755, fs.Cred{})
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	write(t, d, gone.Node, "what was", bytes.Repeat([]byte("here "), 10_000))
	if err := errors.Join(d.fs.Unlink(gone.Node, "what was"), d.fs.Rmdir(me.Node, "gone")); err != nil {
		t.Fatal(err)
	}
}

// With the words and a backup alone all is back, to the byte of the state and of each event, as a new device of the identity; it goes on,
// and its backups go on in the same directory.
func TestBackupAndRecover(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "backup")
	d := opened(t, t.TempDir())
	liveALittle(t, d)
	if _, err := d.newIdentityHere("work"); err != nil {
		t.Fatal(err)
	}
	results := backupTo(t, d, dir)
	if len(results) != 2 || results[0].Frames == 0 || results[0].Blocks == 0 || results[0].Before != nil {
		t.Fatalf("%+v", results)
	}
	if again := backupTo(t, d, dir); again[0].Frames+again[0].Blocks+again[1].Frames != 0 || again[0].Before == nil {
		t.Fatalf("nothing was new: %+v", again)
	}
	committed(t, d)
	write(t, d, volume(t, d, "notes"), "one more", bytes.Repeat([]byte("one more "), 1000))
	backupTo(t, d, dir)
	committed(t, d)
	want, words := states(t, d, firstIdentity), phraseOfIdentity(t, d, firstIdentity)
	device := d.all()[0].keys.Device()
	wantSealedOnly(t, d, dir)
	shut(t, d)

	home := t.TempDir()
	res := recovered(t, home, dir, words)
	if res.Identity.Name != firstIdentity || res.Identity.HasPhrase || res.Volumes != 4 || res.MissingVersions != 0 {
		t.Fatalf("%+v", res)
	}
	again := opened(t, home)
	committed(t, again)
	same(t, "recovered", states(t, again, firstIdentity), want)
	if now := again.all()[0].keys.Device(); now == device {
		t.Error("it is the device that was lost")
	}
	readsAs(t, again, "notes", "one more", bytes.Repeat([]byte("one more "), 1000))
	readsAs(t, again, "notes", "file 29", bytes.Repeat([]byte{29}, 29*29*100))

	write(t, again, volume(t, again, "notes"), "behind", []byte("behind it"))
	committed(t, again)
	if results := backupTo(t, again, dir); len(results) != 1 || results[0].Frames != 1 || results[0].Blocks != 0 {
		t.Fatalf("%+v", results)
	}
	want = states(t, again, firstIdentity)
	shut(t, again)
	third := t.TempDir()
	recovered(t, third, dir, words)
	last := opened(t, third)
	same(t, "recovered again", states(t, last, firstIdentity), want)
	readsAs(t, last, "notes", "behind", []byte("behind it"))
}

// newIdentityHere is newIdentity for a daemon without a mount.
func (d *daemon) newIdentityHere(name string) (*identity.Keyring, error) {
	k, err := d.newKeyring(name)
	if err != nil {
		return nil, err
	}
	return k, d.openIdentity(k)
}

func readsAs(t testing.TB, d *daemon, vol, name string, want []byte) {
	t.Helper()
	e, err := d.fs.Lookup(volume(t, d, vol), name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := d.fs.Open(e.Node, false, false); err != nil {
		t.Fatal(err)
	}
	defer d.fs.Release(e.Node, false)
	got := make([]byte, len(want)+1)
	n, err := d.fs.Read(e.Node, got, 0)
	if err != nil || !bytes.Equal(got[:n], want) {
		t.Fatalf("%s: %d bytes, %v", name, n, err)
	}
}

// wantSealedOnly fails if a backup holds a key, a name or a content.
func wantSealedOnly(t testing.TB, d *daemon, dir string) {
	t.Helper()
	var secrets [][]byte
	for _, i := range d.all() {
		words, err := i.keys.Phrase()
		if err != nil {
			t.Fatal(err)
		}
		ino := i.keys.InoKey()
		secrets = append(secrets, []byte(words), ino[:])
		for _, l := range i.allLogs() {
			k := i.keys.VolumeKeys(l.Volume())
			chunk, conv := k.ChunkKey(), k.ConvergenceSecret(1)
			frame, _ := k.FrameKey(1)
			secrets = append(secrets, chunk[:], conv[:], frame[:])
		}
	}
	for _, s := range []string{"file 29 ", "renamed!", "letter 17", "what was", "user.colour", "one more one more", "version 4"} {
		secrets = append(secrets, []byte(strings.TrimRight(s+"        ", " ")))
	}
	var long [][]byte
	for _, s := range secrets {
		if len(s) >= leakcheck.MinSecret {
			long = append(long, s)
		}
	}
	n := 0
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		n++
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return leakcheck.Find(data, long...)
	})
	if err != nil || n < 6 {
		t.Errorf("of %d files: %v", n, err)
	}
}

// History before the recovery is that of the events' times.
func TestRecoveredHistory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "backup")
	d := opened(t, t.TempDir())
	notes := volume(t, d, "notes")
	const files = 8
	for n := range files {
		write(t, d, notes, fmt.Sprint("file ", n), []byte("one frame each"))
		committed(t, d)
	}
	if err := d.fs.Unlink(notes, "file 0"); err != nil {
		t.Fatal(err)
	}
	backupTo(t, d, dir)
	words := phraseOfIdentity(t, d, firstIdentity)
	shut(t, d)
	home := t.TempDir()
	recovered(t, home, dir, words)
	again := opened(t, home)
	i := again.all()[0]
	l, _ := i.log(i.keys.VolumeID("notes", 1))
	n := 0
	err := l.Entries(eventlog.Position{}, func(e eventlog.Entry) bool {
		ops, err := tree.Decode(e.Event.Body)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := ops[0].(tree.Create); !ok {
			return true
		}
		m, err := l.MomentAt(time.Unix(0, e.Event.Time))
		if err != nil {
			t.Fatal(err)
		}
		err = l.At(m, func(r eventlog.Reader) {
			for k := range files {
				_, ok := tree.Lookup(r, tree.RootID, fmt.Append(nil, "file ", k))
				if ok != (k <= n) {
					t.Errorf("when file %d was made file %d was there: %v", n, k, ok)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		n++
		return true
	})
	if err != nil || n != files {
		t.Fatalf("%d files: %v", n, err)
	}
}

// What can't be brought back as it was asked is refused, and the store is as it was.
func TestRecoverRefuses(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "backup")
	home := t.TempDir()
	d := opened(t, home)
	liveALittle(t, d)
	if _, err := d.newIdentityHere("work"); err != nil {
		t.Fatal(err)
	}
	err := d.backup(t.Context(), control.BackupRequest{Dir: control.Name(dir), Identity: firstIdentity}, func(control.BackupEvent) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	mine, works := phraseOfIdentity(t, d, firstIdentity), phraseOfIdentity(t, d, "work")
	elsewhere := t.TempDir()
	refused := func(what, home string, q RecoverRequest, want control.Code) {
		t.Helper()
		_, err := Recover(t.Context(), Options{Home: home}, q, func(control.Progress) {})
		if control.CodeOf(err) != want || control.HintOf(err) == "" {
			t.Errorf("%s: %v (%s; %s)", what, err, control.CodeOf(err), control.HintOf(err))
		}
	}
	refused("a store that is served", home, RecoverRequest{From: dir, Words: mine}, control.InUse)
	shut(t, d)
	refused("an identity that is there", home, RecoverRequest{From: dir, Words: mine, Name: "another"}, control.InUse)
	refused("words that are none", elsewhere, RecoverRequest{From: dir, Words: "abandon ability able"}, control.Usage)
	refused("the words of another identity", elsewhere, RecoverRequest{From: dir, Words: works}, control.NotFound)
	refused("no backup", elsewhere, RecoverRequest{From: t.TempDir(), Words: mine}, control.Usage)
	refused("a bad name", elsewhere, RecoverRequest{From: dir, Words: mine, Name: "a/b"}, control.Usage)
	again := opened(t, elsewhere) // has an identity of that name
	shut(t, again)
	refused("a name that is taken", elsewhere, RecoverRequest{From: dir, Words: mine}, control.InUse)
	if _, err := Recover(t.Context(), Options{Home: elsewhere}, RecoverRequest{From: dir, Words: mine, Name: "mine"}, func(control.Progress) {}); err != nil {
		t.Fatal(err)
	}
	if ids, err := Identities(elsewhere); err != nil || len(ids) != 2 {
		t.Errorf("%v %v", ids, err)
	}
}

// A recovery that is interrupted shows nothing, and is repeated.
func TestRecoverAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "backup")
	d := opened(t, t.TempDir())
	liveALittle(t, d)
	backupTo(t, d, dir)
	committed(t, d)
	backupTo(t, d, dir)
	want, words := states(t, d, firstIdentity), phraseOfIdentity(t, d, firstIdentity)
	shut(t, d)
	home := t.TempDir()
	for _, stop := range []int{1, 2, 4, 5} {
		ctx, cancel := context.WithCancel(t.Context())
		left := stop
		_, err := Recover(ctx, Options{Home: home}, RecoverRequest{From: dir, Words: words}, func(control.Progress) {
			if left--; left == 0 {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at %d: %v", stop, err)
		}
		if ids, err := Identities(home); err != nil || len(ids) != 0 {
			t.Fatalf("%v %v", ids, err)
		}
	}
	recovered(t, home, dir, words)
	again := opened(t, home)
	committed(t, again)
	same(t, "recovered", states(t, again, firstIdentity), want)
}

// Of a damaged backup what is whole comes back if that is wanted, and what is not is named.
func TestRecoverDamaged(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "backup")
	d := opened(t, t.TempDir())
	liveALittle(t, d)
	backupTo(t, d, dir)
	words := phraseOfIdentity(t, d, firstIdentity)
	shut(t, d)
	cars, _ := filepath.Glob(filepath.Join(dir, "*", "*.car"))
	data, err := os.ReadFile(cars[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	if err := os.WriteFile(cars[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if check, err := CheckBackup(t.Context(), dir, func(control.Progress) {}); control.CodeOf(err) != control.Damaged || len(check.Faults) != 1 ||
		!strings.Contains(check.Faults[0], filepath.Base(cars[0])) {
		t.Errorf("%+v %v", check, err)
	}
	home := t.TempDir()
	q := RecoverRequest{From: dir, Words: words}
	if _, err := Recover(t.Context(), Options{Home: home}, q, func(control.Progress) {}); control.CodeOf(err) != control.Damaged ||
		!strings.Contains(err.Error(), filepath.Base(cars[0])) {
		t.Fatal(err)
	}
	q.Partial = true
	res, err := Recover(t.Context(), Options{Home: home}, q, func(control.Progress) {})
	if err != nil || len(res.Damaged) != 1 {
		t.Fatalf("%+v %v", res, err)
	}
	again := opened(t, home)
	whole := 0
	for n := range 30 {
		e, err := again.fs.Lookup(volume(t, again, "notes"), fmt.Sprint("file ", n))
		if err != nil {
			continue
		}
		if err := again.fs.Open(e.Node, false, false); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n*n*100+1)
		if c, err := again.fs.Read(e.Node, got, 0); err == nil && n != 20 {
			if !bytes.Equal(got[:c], bytes.Repeat([]byte{byte(n)}, n*n*100)) {
				t.Fatalf("file %d is other bytes", n)
			}
			whole++
		}
		again.fs.Release(e.Node, false)
	}
	if whole < 25 {
		t.Errorf("only %d files are whole", whole)
	}
}

// Snapshots come back with their names, and are of the same trees; so does how long history is kept.
func TestRecoverSnapshots(t *testing.T) {
	t.Parallel()
	dir, out := filepath.Join(t.TempDir(), "backup"), t.TempDir()
	d := opened(t, t.TempDir())
	vol := d.all()[0].keys.VolumeID("notes", 1)
	short := fs.Retention{All: time.Hour, Hourly: 2 * time.Hour, Daily: 3 * time.Hour, Weekly: fs.Forever}
	links := map[string]string{}
	snapshot := func(name string) {
		t.Helper()
		_, err := d.fs.CreateSnapshot(t.Context(), vol, name, time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		links[name] = sealedTo(t, d, "me/notes", name, filepath.Join(out, name)).Link
	}
	notes := volume(t, d, "notes")
	for n := range 3 {
		write(t, d, notes, fmt.Sprint("large ", n), bytes.Repeat([]byte{byte(n)}, 10_000))
		snapshot(fmt.Sprint("number ", n))
		write(t, d, notes, fmt.Sprint("small ", n), []byte("small"))
	}
	if err := d.fs.SetRetention(vol, short); err != nil {
		t.Fatal(err)
	}
	want, err := d.fs.Snapshots(vol)
	if err != nil || len(want) != 3 {
		t.Fatalf("%v %v", want, err)
	}
	if backupTo(t, d, dir); backupTo(t, d, dir)[0].Blocks != 0 {
		t.Error("a second backup copied the snapshots again")
	}
	words := phraseOfIdentity(t, d, firstIdentity)
	shut(t, d)

	home := t.TempDir()
	if res := recovered(t, home, dir, words); len(res.LostSnapshots) > 0 {
		t.Errorf("lost: %v", res.LostSnapshots)
	}
	d = opened(t, home)
	got, err := d.fs.Snapshots(vol)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v %v", got, err)
	}
	for n, s := range got {
		w := want[n]
		if w.Moment = s.Moment; s != w {
			t.Errorf("%+v, was %+v", s, w)
		}
		if link := sealedTo(t, d, "me/notes", s.Name, filepath.Join(out, "again")).Link; link != links[s.Name] {
			t.Errorf("%q is of another tree", s.Name)
		}
		if _, err := d.blocks.Get(s.Root.CID); err != nil {
			t.Error(err)
		}
	}
	if r, err := d.fs.Retention(vol); err != nil || r != short {
		t.Errorf("%+v %v", r, err)
	}
}
