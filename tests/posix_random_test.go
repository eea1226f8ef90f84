package tests

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	posixSeconds = flag.Int("posix", 0, "run random calls for so many seconds; 0: a moment")
	posixSeed    = flag.Uint64("posix-seed", 0, "replay the random calls of this seed (0: with -posix new ones, else the same each time)")
)

// TestPosixRandom makes random calls as random users, on the mount and on a tmpfs, and compares every result and, now and then, the
// whole trees.
func TestPosixRandom(t *testing.T) {
	t.Parallel()
	privately(t, func() {
		s := newStage(t, "allow_other", unix.MS_RELATIME)
		until := time.Now().Add(time.Duration(*posixSeconds) * time.Second)
		seed := seeded(t, "posix", 1, *posixSeed, *posixSeconds)
		for n := 0; ; n++ {
			if !s.random(t, fmt.Sprintf("random.%d", n), seed, 400) || *posixSeed != 0 || n > 0 && time.Now().After(until) {
				t.Logf("%d histories", n+1)
				return
			}
			seed++
		}
	})
}

// random makes one history of calls. false: something differed.
func (s *stage) random(t *testing.T, name string, seed uint64, calls int) bool {
	s.base(t, name, "root alice bob carol ")
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	var history []string
	for range calls {
		user := g.pick("root root alice alice bob carol")
		lines := []string{g.call()}
		if g.IntN(3) == 0 {
			lines = append(lines, "lstat "+g.path())
		}
		if g.IntN(40) == 0 {
			user, lines = "root", append(lines, "tree .")
		}
		for _, line := range lines {
			history = append(history, user+" "+line)
			got, want := s.both(user, line)
			if open := strings.HasPrefix(line, "chown ") && strings.HasSuffix(line, " -1 -1"); open && got == "ok" && want == "EPERM" {
				continue // the file may be open for writing: see testdata/posix/setid.txt
			}
			if got != want {
				t.Errorf("seed %d, after\n%s\n\tmount %s\n\twant  %s", seed, strings.Join(history[max(0, len(history)-60):], "\n"), got, want)
				return false
			}
		}
	}
	return true
}

type generator struct{ *rand.Rand }

func (g generator) pick(words string) string {
	w := strings.Fields(words)
	return w[g.IntN(len(w))]
}

func (g generator) path() string {
	p := g.pick("a b c d e")
	for g.IntN(2) == 0 && len(p) < 8 {
		p += "/" + g.pick("a b c d")
	}
	return p
}

func (g generator) mode() string {
	return g.pick("0644 0755 0777 0700 0600 0666 0000 02775 01777 06755 04711 02755 0555 06777 0070 0007")
}

func (g generator) acl() string {
	if g.IntN(4) == 0 {
		return "none"
	}
	bits := func() string { return g.pick("rwx rw rx r x w rwx") }
	a := "u:" + bits()
	named := g.IntN(3) > 0
	if named {
		a += ",u" + g.pick("2001 2002 2003") + ":" + bits()
	}
	a += ",g:" + bits()
	if named && g.IntN(2) == 0 {
		a += ",g3000:" + bits()
	}
	if named {
		a += ",m:" + bits()
	}
	return a + ",o:" + bits()
}

// call is one line of a script.
func (g generator) call() string {
	p, q, fd := g.path(), g.path(), g.pick("1 2 3")
	switch g.IntN(37) {
	case 0, 1, 2:
		return fmt.Sprintf("mk %s %s %s", g.pick("file file file dir dir fifo sym sock"), p, g.mode())
	case 3, 4, 5:
		return "mkdir " + p + " " + g.pick("0777 0777 0755 02775 01777")
	case 6, 7:
		return "unlink " + p
	case 8:
		return "rmdir " + p
	case 9, 10, 11, 12:
		return "rename " + p + " " + q
	case 13:
		return "rename " + p + " " + q + " " + g.pick("noreplace exchange exchange")
	case 14, 15:
		return "link " + p + " " + q
	case 16, 17:
		return "chmod " + p + " " + g.mode()
	case 18:
		return fmt.Sprintf("chown %s %s %s", p, g.pick("-1 0 2001 2002"), g.pick("-1 0 2001 3000 2003"))
	case 19, 20:
		return fmt.Sprintf("open %s %s %s %s", fd, p, g.pick("rw rw,creat rw,creat,excl r w,trunc rw,creat,trunc r,dir")+",nonblock", g.mode())
	case 21, 22:
		return fmt.Sprintf("write %s %d %d", fd, g.IntN(9000), g.IntN(9000))
	case 23:
		return fmt.Sprintf("trunc %s %d", g.pick("@1 @2 @3 "+p), g.IntN(9000))
	case 24:
		return "close " + fd
	case 25:
		return "stat @" + fd
	case 26:
		return fmt.Sprintf("utimens %s %s %s", p, g.pick("omit 1.5 omit now"), g.pick("now omit 7.25 8"))
	case 27:
		return "acl " + p + " " + g.pick("access access default") + " " + g.acl()
	case 28:
		return fmt.Sprintf("setx %s %s %s %s", p, g.pick("user.a user.b trusted.c"), g.pick("1 22 333"), g.pick("create replace - -"))
	case 29:
		return "rmx " + p + " " + g.pick("user.a user.b trusted.c")
	case 30:
		return "list " + p
	case 31:
		return "access " + p + " " + g.pick("1 2 4 6 7")
	case 32:
		return "symlink " + q + " " + p
	case 33:
		return fmt.Sprintf("open %s %s %s %s", fd, g.pick(". a b "+p), g.pick("tmpfile,rw tmpfile,w tmpfile,rw,excl"), g.mode())
	case 34:
		return "linkfd @" + fd + " " + p
	case 35:
		return "chown @" + fd + " " + g.pick("-1 0 2001 2002") + " " + g.pick("-1 0 2001 3000")
	default:
		return "chmod @" + fd + " " + g.mode()
	}
}
