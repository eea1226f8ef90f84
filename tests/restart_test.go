package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// A daemon that was killed comes back, however many files there are: nothing is scanned. With a budget (make crash)
// there are 100,000 of them.
func TestCrashManyFiles(t *testing.T) {
	t.Parallel()
	files := 2000
	if *crashSeconds > 0 {
		files = 100000
	}
	r := newRig(t).start()
	const perDir = 500
	began := time.Now()
	var makers sync.WaitGroup
	for part := range 2 {
		makers.Go(func() {
			for i := part; i < files; i += 2 {
				dir := r.me("many", fmt.Sprint(i/perDir))
				if i%perDir < 2 {
					_ = os.MkdirAll(dir, 0o755)
				}
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d", i)), fmt.Appendf(nil, "file %d", i), 0o644); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	makers.Wait()
	made := time.Since(began)
	r.kill()
	began = time.Now()
	r.start()
	t.Logf("%d files made in %v; the mount was back in %v", files, made.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	if s := r.status(); s.Files != int64(files) {
		t.Errorf("%d files after the restart, want %d", s.Files, files)
	}
	for i := 0; i < files; i += files / 1000 {
		wantFile(t, r.me("many", fmt.Sprint(i/perDir), fmt.Sprintf("f%d", i)), fmt.Appendf(nil, "file %d", i))
	}
	r.stop()
}

// The main job: a repository is cloned into the mount and worked on, the daemon is killed and comes back, and git finds
// nothing wrong.
func TestCrashGit(t *testing.T) {
	t.Parallel()
	needPrograms(t, "git")
	r := newRig(t).start()
	write(t, r.user+"/.gitconfig", []byte("[user]\nname = A\nemail = a@example.org\n"))
	r.sh(r.user, `
		git init -q repo && cd repo
		for i in $(seq 50); do mkdir -p d$((i % 5)); seq $i $((i * 9)) >d$((i % 5))/f$i; done
		head -c 900000 /dev/urandom >big && git add . && git commit -qm first
		cp -r . "$M/unsaved" && git clone -q . "$M/clone" && cd "$M/clone"
		echo work >>d1/f1 && git commit -qam work`)
	r.kill()
	r.start()
	r.sh(r.me("clone"), `
		git fsck --strict && test -z "$(git status --porcelain)" && test "$(git log --oneline | wc -l)" = 2
		git gc -q && echo more >>d1/f1 && git commit -qam more`)
	r.kill()
	r.start()
	r.sh(r.me("clone"), `git fsck --strict && test -z "$(git status --porcelain)" && git pull -q --no-rebase "$HOME/repo" HEAD`)
	r.sh(r.user, `diff -r repo "$M/unsaved"`)
	r.stop()
}

// Killed while git works, what git had acknowledged is there, and what it left half done is as after any crash of a machine
// that lost nothing: its own locks.
func TestCrashGitAtWork(t *testing.T) {
	t.Parallel()
	needPrograms(t, "git")
	r := newRig(t).start()
	write(t, r.user+"/.gitconfig", []byte("[user]\nname = A\nemail = a@example.org\n"))
	r.sh(r.user, `git init -q "$M/w/repo" 2>/dev/null || { mkdir "$M/w" && git init -q "$M/w/repo"; }`)
	done := filepath.Join(r.user, "done")
	var work sync.WaitGroup
	work.Go(func() {
		// Each commit that git called done is noted outside.
		r.run(r.user, "sh", "-c", `cd "$M/w/repo" || exit; for i in $(seq 1000); do
			seq $i $((i * 5)) >f$((i % 20)) && git add -A && git commit -qm $i && git rev-parse HEAD >>"$HOME/done" || exit; done`)
	})
	enough := time.NewTicker(10 * time.Millisecond)
	defer enough.Stop()
	for began := time.Now(); time.Since(began) < commandBound; <-enough.C {
		if info, err := os.Stat(done); err == nil && info.Size() > 41*6 {
			break
		}
	}
	r.kill()
	work.Wait()
	r.start()
	r.sh(r.me("w/repo"), `rm -f .git/*.lock .git/refs/heads/*.lock; git fsck --strict
		for c in $(cat "$HOME/done"); do git merge-base --is-ancestor $c HEAD; done`)
	r.stop()
}
