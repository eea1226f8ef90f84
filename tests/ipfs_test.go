package tests

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var ipfsProgram = flag.String("ipfs", "", "a stock ipfs, with which TestIPFS reads what export wrote")

// TestIPFS has Kubo read what export writes, without a network: of a plain export it gets the same files, with bytes, modes and times; a
// sealed one it pins, walks and collects around as a whole without a key, and writes out again as the same file.
func TestIPFS(t *testing.T) {
	if *ipfsProgram == "" {
		t.Skip("only by make ipfs: -args -ipfs PROGRAM")
	}
	r := newRig(t)
	r.start()
	src := r.sh(r.user, `mkdir src && cd src && umask 022
		echo hello >small; : >empty; head -c 40000 /dev/urandom >medium; head -c 70000000 /dev/urandom >large; cp large twice
		truncate -s 5000000 hole; for n in 32768 32769 1048576 1048577; do head -c $n /dev/urandom >"bytes $n"; done
		ln -s small link; ln -s /nowhere/at/all dangling; ln small hard
		mkdir -p many deep/er/est none; echo ü >'deep/er/est/ünïcode'
		(cd many && seq -f 'file %.0f' 12000 | xargs -d '\n' touch && echo x >'file 77')
		chmod 4755 medium; chmod 600 small; chmod 1777 none; chmod 500 deep/er
		touch -d 2001-02-03T04:05:06.789012345Z small; touch -d 1969-12-31T23:00:00Z empty; touch -h -d 2002-03-04T05:06:07Z link; touch -d 2003-01-01 many deep
		mkdir "$M/v" && cp -a . "$M/v/" && pwd`)
	src = strings.TrimSpace(src)
	export := func(args ...string) string {
		t.Helper()
		got := r.rhizome(append([]string{"export", r.me("v")}, args...)...)
		if got.code != 0 {
			t.Fatal(got.stderr)
		}
		return strings.TrimSpace(got.stdout)
	}
	plain := export("--plain", "-o", filepath.Join(r.user, "plain.car"))
	sealed, _, _ := strings.Cut(export("-o", filepath.Join(r.user, "sealed.car")), ".")
	r.stop()

	ipfs := func(script string) string {
		t.Helper()
		return r.sh(r.user, fmt.Sprintf("export IPFS_PATH=%q; ipfs() { %q \"$@\"; }; %s", filepath.Join(r.user, "repo"), *ipfsProgram, script))
	}
	t.Log(ipfs("ipfs version && ipfs init --profile=test >/dev/null"))
	ipfs("ipfs dag import plain.car && ipfs get -o got " + plain)
	if a, b := plainPicture(t, src), plainPicture(t, filepath.Join(r.user, "got")); a != b {
		t.Errorf("ipfs get made\n%s, was\n%s", b, a)
	}
	blocks := strings.Fields(ipfs("ipfs dag import sealed.car >/dev/null && ipfs repo gc >/dev/null; ipfs refs -r --unique " + sealed))
	ipfs("ipfs dag export " + sealed + " >back.car && cmp back.car sealed.car")
	t.Logf("%d sealed blocks", 1+len(blocks))
}

// plainPicture is what UnixFS knows of a tree.
func plainPicture(t testing.TB, dir string) string {
	t.Helper()
	var s strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintf(&s, "%s %v", path[len(dir):], info.Mode())
		switch {
		case info.Mode()&os.ModeSymlink != 0:
			to, err := os.Readlink(path)
			fmt.Fprintf(&s, " %s %v %v\n", to, info.ModTime().UnixNano(), err)
		case info.IsDir():
			fmt.Fprintf(&s, " %v\n", info.ModTime().UnixNano())
		default:
			fmt.Fprintf(&s, " %v %x\n", info.ModTime().UnixNano(), sha256.Sum256(readFile(t, path)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}
