package tests

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var heavy = flag.Bool("programs", false, "run TestHeavyPrograms, which takes minutes")

const (
	heavyBound    = 10 * time.Minute // one program on the mount
	heavyTogether = time.Hour
)

// TestHeavyPrograms has programs do on the mount what takes minutes, after they have done the same in a plain directory: it prints
// how long both took. What they left is looked at again after a restart. Nothing that it needs may be missing.
func TestHeavyPrograms(t *testing.T) {
	if !*heavy {
		t.Skip("only by make programs: -args -programs")
	}
	t.Setenv("CI", "true") // what is missing fails it
	r := newRig(t).start()
	r.bound(heavyTogether)
	write(t, r.user+"/.gitconfig", []byte("[user]\nname = A\nemail = a@example.org\n[init]\ndefaultBranch = main\n[gc]\nauto = 0\n"))
	plain := filepath.Join(r.user, "plain")
	programs := []struct {
		name   string
		needs  []string
		script string // runs in a new directory, with two more, $OUT and $TMPDIR, outside of the mount
		again  string // must succeed there after the restart
	}{
		{"manyfiles", []string{"git"}, gitManyFiles, gitClean},
		{"rebase", []string{"git"}, gitRebase, gitClean},
		{"npm", []string{"npm", "node"}, npmInstall, `node -e 'require("express")()'`},
		{"gobuild", []string{"go"}, goCacheInside, `export GOCACHE="$PWD/cache" GOPROXY=off CGO_ENABLED=0; test -z "$(go build -x -o m3 . 2>&1 | grep /compile)"`},
		{"rsync", []string{"rsync"}, rsyncBothWays, `diff -r here back && test -z "$(rsync -aHAXi here/ "$OUT/there/")"`},
		{"tar", []string{"tar", "setfattr", "getfattr"}, tarSparse, `tar --xattrs -df all.tar`},
		{"restic", []string{"restic"}, resticTwice, `RESTIC_PASSWORD=x restic -r "$OUT/repo" --no-cache backup src | grep -E '^Files: +0 new, +0 changed'`},
		{"borg", []string{"borg"}, borgTwice, `diff -r --no-dereference src restored/src`},
		{"reflink", []string{"cp", "cmp"}, reflink, `cmp -n 1000000 -i 500000000 big copy`},
		{"gio", []string{"gio", "dbus-run-session"}, gioTrash, `test -e two && test "$(stat -c %s one)" = 3000000`},
		{"office", []string{"soffice"}, office, `unzip -tqq letter.odt && unzip -p letter.odt content.xml | grep -q 'Dear reader'`},
	}
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			needPrograms(t, p.needs...)
			mine := r.in(t)
			took := func(dir, out string) time.Duration {
				for _, d := range []string{dir, out, out + "/tmp"} {
					if err := os.MkdirAll(d, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				began := time.Now()
				said := mine.shWithin(heavyBound, dir, fmt.Sprintf("export OUT=%q TMPDIR=%q\n%s", out, out+"/tmp", p.script))
				if said != "" {
					t.Log(said)
				}
				return time.Since(began)
			}
			reference := took(filepath.Join(plain, p.name), filepath.Join(plain, p.name+".out"))
			here := took(r.me(p.name), filepath.Join(r.user, p.name+".out"))
			t.Logf("%s: %.1f s on the mount, %.1f s in a plain directory", p.name, here.Seconds(), reference.Seconds())
		})
	}
	r.stop()
	r.start()
	for _, p := range programs {
		t.Run(p.name+" again", func(t *testing.T) {
			r.in(t).shWithin(heavyBound, r.me(p.name), fmt.Sprintf("export OUT=%q\n%s", filepath.Join(r.user, p.name+".out"), p.again))
		})
	}
	if s := r.status(); len(s.Damage) > 0 {
		t.Errorf("damage: %v", s.Damage)
	}
	r.stop()
}

// Git with 10,000 files: status, a worktree beside, gc.
const gitManyFiles = `
	git init -q repo && cd repo
	for d in $(seq 100); do mkdir d$d && (cd d$d && seq 100 | split -l 1 -a 3 - f); done
	git add . && git commit -qm first && test $(git ls-files | wc -l) = 10000 && test -z "$(git status --porcelain)"
	echo changed >>d50/faaa && test "$(git status --porcelain)" = ' M d50/faaa' && git commit -qam second
	git worktree add -q ../tree -b side && test -z "$(git -C ../tree status --porcelain)"
	echo w >../tree/w && git -C ../tree add w && git -C ../tree commit -qm w && git merge -q side
	git worktree remove ../tree && test ! -e ../tree && test $(git worktree list | wc -l) = 1
	git gc -q --prune=now && git fsck --strict --no-progress && test -z "$(git status --porcelain)"`

// Git moves 500 commits onto another.
const gitRebase = `
	git init -q repo && cd repo && echo base >base && git add . && git commit -qm base
	for i in $(seq 500); do
		printf 'commit refs/heads/side\ncommitter A <a@example.org> %d +0000\ndata <<X\nc%d\nX\n' $((1700000000 + i)) $i
		test $i != 1 || echo 'from refs/heads/main'
		printf 'M 100644 inline f%d\ndata <<X\n' $((i % 50)) && seq $i $((i + 5)) && echo X
	done | git fast-import --quiet
	echo other >other && git add . && git commit -qm other && git checkout -q side
	git rebase -q main && test $(git rev-list --count main..side) = 500 && test -e other
	git fsck --strict --no-progress && test -z "$(git status --porcelain)"`

const gitClean = `git -C repo fsck --strict --no-progress && test -z "$(git -C repo status --porcelain)"`

// A package that depends on some others, installed twice, from the registry and from npm's cache, which is in the mount too.
const npmInstall = `
	export npm_config_cache="$PWD/cache" npm_config_update_notifier=false
	npm init -y >/dev/null && npm install --no-audit --no-fund express >/dev/null
	node -e 'require("express")()' && npm ls --all >/dev/null && rm -r node_modules && npm ci --offline --no-audit --no-fund >/dev/null
	node -e 'require("express")()'`

// A build of a good part of Go's library, its cache and all that it makes in the mount. The second one has nothing to do.
const goCacheInside = `
	export GOCACHE="$PWD/cache" TMPDIR="$PWD/tmp" GOPROXY=off CGO_ENABLED=0 GOTOOLCHAIN=local && mkdir tmp && printf 'module m\n' >go.mod
	printf 'package main\n\nimport "net/http"\n\nfunc main() { println(http.StatusText(404)) }\n' >main.go
	go build -o m . && test "$(./m 2>&1)" = 'Not Found' && test -z "$(go build -x -o m2 . 2>&1 | grep /compile)" && go vet .`

// Out of the mount and back in, and each way the second time nothing is to be done.
const rsyncBothWays = `
	cp -a "$(go env GOROOT)/src/crypto" here && rsync -aHAX here/ "$OUT/there/" && rsync -aHAX "$OUT/there/" back/
	diff -r here back && test -z "$(rsync -aHAXi here/ "$OUT/there/")" && test -z "$(rsync -aHAXi "$OUT/there/" back/)"
	echo new >here/new && rm here/crypto.go
	rsync -aHAX --delete here/ "$OUT/there/" && rsync -aHAX --delete "$OUT/there/" back/ && diff -r here back`

// Extended attributes, holes, links and a file of some size go through tar both ways.
const tarSparse = `
	cp -a "$(go env GOROOT)/src/os" os && head -c 100000000 /dev/urandom >big && truncate -s 3G sparse && echo end >>sparse
	ln big hard && ln -s big soft && mkfifo fifo
	for f in os/*.go; do setfattr -n user.name -v "$f" $f; done && setfattr -n user.large -v "$(seq 700)" os
	tar --xattrs -cSf all.tar os big hard soft fifo sparse && tar --xattrs -df all.tar
	mkdir to && tar --xattrs -xSf all.tar -C to && tar --xattrs -d -C to -f all.tar && rm hard && ln big hard
	test $(stat -c %h to/big) = 2 && test $(stat -c %b to/sparse) -lt 10000 && test $(du -k all.tar | cut -f 1) -lt 200000
	(cd os && getfattr -d -m user -R . 2>/dev/null | sort) >"$OUT/attrs" && (cd to/os && getfattr -d -m user -R . 2>/dev/null | sort) | cmp - "$OUT/attrs"`

// What a backup reads: some thousand files, a large one, a link, a fifo.
const backedUp = `
	mkdir src && cp -a "$(go env GOROOT)/src/net" "$(go env GOROOT)/src/cmd/compile" src && head -c 30000000 /dev/urandom >src/big
	ln -s net src/link && mkfifo src/fifo && ln src/big src/hard && truncate -s 50M src/sparse`

// A second backup finds nothing changed; what is restored is the same; and a store of backups in the mount works as well.
const resticTwice = backedUp + `
	export RESTIC_PASSWORD=x && backup() { restic -r "$1" --no-cache init -q && restic -r "$1" --no-cache backup -q src; }
	backup "$OUT/repo" && restic -r "$OUT/repo" --no-cache backup src | grep -qE '^Files: +0 new, +0 changed'
	restic -r "$OUT/repo" --no-cache restore -q latest --target restored && diff -r --no-dereference -x fifo src restored/src
	test -p restored/src/fifo
	backup inside && restic -r inside --no-cache check -q --read-data && restic -r inside --no-cache restore -q latest --target "$OUT/restored"
	diff -r --no-dereference -x fifo src "$OUT/restored/src"`

const borgTwice = backedUp + `
	rm src/fifo && sleep 0.1 && echo last >src/last # the newest file Borg never takes for unchanged
	export BORG_BASE_DIR="$OUT" BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
	borg init -e none "$OUT/repo" && borg create "$OUT/repo::a" src
	test "$(borg create --list --filter AMCE "$OUT/repo::b" src 2>&1)" = 'A src/last'
	mkdir restored && (cd restored && borg extract "$OUT/repo::b") && diff -r --no-dereference src restored/src
	test $(stat -c %h restored/src/big) = 2
	borg init -e none inside && borg create inside::a src && borg check inside && mkdir "$OUT/restored"
	here=$PWD && (cd "$OUT/restored" && borg extract "$here/inside::a") && diff -r --no-dereference src "$OUT/restored/src"`

// The time is that of the copy alone, and of the second one too, when the file is sealed.
const reflink = `
	head -c 1073741824 /dev/urandom >big
	for i in 1 2 3; do
		a=$(date +%s%N) && cp --reflink=auto big copy && b=$(date +%s%N) && echo "cp --reflink=auto of 1 GiB: $(((b - a) / 1000000)) ms"
		test $i = 3 || { rm copy && sleep 2; }
	done
	cmp big copy`

// The trash of GNOME's file manager, through its daemon. No inode changes: nothing is copied.
const gioTrash = `
	head -c 3000000 /dev/urandom >one && mkdir -p two/sub && cp one two/sub/three && sha256sum one two/sub/three >"$OUT/sums"
	numbers() { find one two -printf '%p %i\n' | sort; } && numbers >"$OUT/numbers"
	export here="$PWD" XDG_DATA_HOME="$OUT/data" XDG_RUNTIME_DIR="$OUT/run" && mkdir -m 700 "$OUT/data" "$OUT/run"
	gio trash one two && test ! -e one && test ! -e two
	dbus-run-session -- sh -eu >/dev/null 2>"$OUT/said" <<-'X'
		gio trash --list 2>/dev/null >"$OUT/list"
		for f in one two; do
			grep -qP "\t$here/$f\$" "$OUT/list" && gio trash --restore "$(grep -P "\t$here/$f\$" "$OUT/list" | cut -f 1)"
		done
	X
	sha256sum --quiet -c "$OUT/sums" && case $here in "$M"/*) numbers | cmp - "$OUT/numbers" ;; esac`

// LibreOffice makes a document of a text, opens it, and saves it in another format and in place of itself.
const office = `
	export HOME="$OUT" && printf 'Dear reader,\n\nthis is a letter.\n' >letter.txt
	soffice --headless --convert-to odt --outdir . letter.txt >/dev/null 2>&1
	soffice --headless --convert-to docx --outdir . letter.odt >/dev/null 2>&1
	soffice --headless --convert-to odt --outdir . letter.docx >/dev/null 2>&1
	unzip -tqq letter.odt && unzip -tqq letter.docx && unzip -p letter.odt content.xml | grep -q 'Dear reader' && ! ls -A | grep '^\.~lock'`
