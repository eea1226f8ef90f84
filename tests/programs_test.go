package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestPrograms runs real programs on one real mount, each in a volume of its own. What they left is looked at again
// after a restart.
func TestPrograms(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	write(t, r.user+"/.gitconfig", []byte("[user]\nname = A\nemail = a@example.org\n[init]\ndefaultBranch = main\n"))
	programs := []struct {
		name  string
		needs []string
		run   func(*rig) (again string) // a script that must succeed after the restart too
	}{
		{"git", []string{"git"}, (*rig).git},
		{"vim", []string{"vim"}, (*rig).vim},
		{"sqlite", []string{"sqlite3"}, (*rig).sqlite},
		{"tar", []string{"tar", "setfattr", "getfattr"}, (*rig).tar},
		{"rsync", []string{"rsync", "setfattr"}, (*rig).rsync},
		{"acl", []string{"setfacl", "getfacl", "rsync", "tar", "cp"}, (*rig).acl},
		{"go", []string{"go"}, (*rig).goBuild},
		{"sparse", []string{"cp", "tar", "rsync", "fallocate"}, (*rig).sparse},
		{"fio", []string{"fio"}, (*rig).fio},
		{"shell", []string{"cp", "mv", "diff"}, (*rig).shell},
		{"saves", []string{"dd", "setfattr", "getfattr"}, (*rig).saves},
		{"watch", []string{"inotifywait"}, (*rig).watcher},
		{"vault", nil, (*rig).vault},
		{"mail", nil, (*rig).mail},
		{"trash", []string{"mv", "stat"}, (*rig).trash},
		{"past", []string{"diff", "cp", "rsync", "tar", "vim", "setfattr", "setfacl"}, (*rig).past},
	}
	again := map[string]string{}
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			needPrograms(t, p.needs...)
			mine := r.in(t)
			if err := os.Mkdir(r.me(p.name), 0o755); err != nil {
				t.Fatal(err)
			}
			again[p.name] = p.run(mine)
		})
	}
	r.stop()
	r.start()
	for _, p := range programs {
		t.Run(p.name+" again", func(t *testing.T) { r.in(t).sh(r.user, again[p.name]) })
	}
	if s := r.status(); len(s.Damage) > 0 {
		t.Errorf("damage: %v", s.Damage)
	}
	r.stop()
}

func (r *rig) git() string {
	r.sh(r.user, `
		git init -q repo && cd repo
		for i in $(seq 80); do mkdir -p d$((i % 7)); seq $i $((i + 50)) >d$((i % 7))/f$i; done
		head -c 700000 /dev/urandom >big
		ln -s d1/f1 link; chmod +x d0/f7
		git add . && git commit -qm first
		git rm -q d2/f2 && git mv d3/f3 d3/renamed && git commit -qm second`)
	r.sh(r.me("git"), `
		git clone -q "$HOME/repo" clone && cd clone
		git fsck --strict && test -z "$(git status --porcelain)"
		diff -r --no-dereference -x .git "$HOME/repo" .`)
	r.sh(r.me("git/clone"), `
		echo more >>d1/f1 && git commit -qam third
		git checkout -qb side HEAD~1 && echo other >new && git add new && git commit -qm side
		git merge -q -m merge main && git rebase -q main 2>/dev/null
		git stash list; git gc -q --prune=now && git repack -adq
		git push -q origin HEAD:refs/heads/pushed`)
	r.sh(r.user, `git -C repo log -1 --format=%H pushed >pushed; git -C "$M/git/clone" rev-parse HEAD | diff - pushed`)
	r.sh(r.me("git"), `git init -q --bare bare.git && git -C "$HOME/repo" push -q --all ../Rhizome/me/git/bare.git`)
	return `
		cd "$M/git/clone" && git fsck --strict && test -z "$(git status --porcelain)"
		git -C ../bare.git fsck --strict && ! ls .git/*.lock 2>/dev/null`
}

// acl has ACLs made, shown, inherited and copied by the programs that people use.
func (r *rig) acl() string {
	r.sh(r.me("acl"), `
		mkdir -p a/sub && echo x >a/f
		setfacl -m u:1:rw,g:2:r a/f && setfacl -m d:u:3:rwx,d:o::- a
		mkdir a/sub/sub a/dir && echo y >a/inherits && ln -s f a/link
		getfacl -p a/inherits | grep -q '^user:3:rwx' && getfacl -p a/dir | grep -q '^default:user:3:rwx'
		test "$(stat -c %a a/f)" = 664 && chmod 600 a/f && getfacl -p a/f | grep -q '^mask::---'
		chmod 640 a/f && ls -l a/f | grep -q '^-rw-r-----+'
		(cd a && getfacl -R .) >acls
		cp -a a b && rsync -aA a/ c/ && mkdir d && tar -C a --acls -c . | tar -C d --acls -x
		for x in b c d; do (cd $x && getfacl -R .) | diff acls -; done
		setfacl -b b/f && test "$(stat -c %a b/f)" = 640 && ! getfacl -p b/f | grep -q user:1 && setfacl -k b`)
	return `cd "$M/acl" && for x in a c d; do (cd $x && getfacl -R .) | diff acls -; done && ! getfacl b | grep -q default`
}

// vim edits with its default settings: a swap file, a backup while it writes, and a rename or a rewrite in place.
func (r *rig) vim() string {
	dir := r.me("vim")
	r.sh(dir, `
		printf 'one\ntwo\n' >a.txt; chmod 640 a.txt; ln a.txt hard; ln -s a.txt soft
		edit() { vim -u NONE -N -i NONE -es "$@" </dev/null; }
		edit -c '%s/two/2/' -c 'set swapfile?' -c x a.txt
		edit --cmd 'set backup backupcopy=no' -c '%s/one/1/' -c w -c 'normal Gothree' -c x b.txt || true
		edit -c 'normal ithe link' -c x soft
		edit --cmd 'set backupcopy=yes nowritebackup' -c 'normal Golast' -c x a.txt`)
	return `
		cd "$M/vim" && printf 'the linkone\n2\nlast\n' | diff - a.txt && test "$(stat -c %a a.txt)" = 640
		test -z "$(ls -A | grep -v -x -e a.txt -e hard -e soft -e b.txt -e b.txt~)"`
}

func (r *rig) sqlite() string {
	for _, mode := range []string{"wal", "delete", "truncate", "persist"} {
		var script strings.Builder
		fmt.Fprintf(&script, "PRAGMA journal_mode=%s; CREATE TABLE t(k INTEGER PRIMARY KEY, v BLOB);\n", mode)
		for i := range 40 {
			fmt.Fprintf(&script, "BEGIN; INSERT INTO t(v) VALUES(randomblob(2000)); UPDATE t SET v=randomblob(500) WHERE k=%d; COMMIT;\n", i/2)
		}
		script.WriteString("DELETE FROM t WHERE k%3=0; VACUUM; PRAGMA integrity_check; SELECT count(*) FROM t;\n")
		write(r.t, r.user+"/"+mode+".sql", []byte(script.String()))
		got := r.sh(r.me("sqlite"), "sqlite3 -bail "+mode+".db <$HOME/"+mode+".sql")
		if want := mode + "\nok\n27\n"; got != want {
			r.t.Fatalf("%s printed %q, want %q", mode, got, want)
		}
	}
	// Two at once wait for each other's locks.
	r.sh(r.me("sqlite"), `
		for n in 1 2; do
			(for i in $(seq 10); do sqlite3 -cmd '.timeout 20000' wal.db "INSERT INTO t(v) VALUES('$n-$i')"; done) & pids="${pids-} $!"
		done
		for p in $pids; do wait $p; done`)
	// Four write, each a row and the number of rows, and a reader never sees the one without the other.
	r.sh(r.me("sqlite"), `
		mkdir many
		for mode in wal delete; do
			db=many/$mode.db pids=
			sqlite3 $db "PRAGMA journal_mode=$mode; CREATE TABLE t(v BLOB); CREATE TABLE rows(n INT); INSERT INTO rows VALUES(0)" >/dev/null
			for w in 1 2 3 4; do
				(for i in $(seq 10); do echo "BEGIN IMMEDIATE; INSERT INTO t VALUES(randomblob(3000)); UPDATE rows SET n=n+1; COMMIT;"; done |
					sqlite3 -bail -cmd '.timeout 30000' $db) & pids="$pids $!"
			done
			for i in $(seq 10); do echo "SELECT (SELECT count(*) FROM t) = (SELECT n FROM rows); PRAGMA integrity_check;"; done |
				sqlite3 -bail -cmd '.timeout 30000' $db | sort -u >many/$mode.seen
			for p in $pids; do wait $p; done
			test "$(cat many/$mode.seen)" = "$(printf '1\nok')"
			test "$(sqlite3 $db 'SELECT n, (SELECT count(*) FROM t) FROM rows')" = '40|40'
		done`)
	return `
		for mode in wal delete; do
			test "$(sqlite3 "$M/sqlite/many/$mode.db" 'PRAGMA integrity_check; SELECT count(*) FROM t')" = "$(printf 'ok\n40')"
		done
		cd "$M/sqlite" && test "$(sqlite3 wal.db 'SELECT count(*) FROM t')" = 47
		for db in wal delete truncate persist; do test "$(sqlite3 $db.db 'PRAGMA integrity_check')" = ok; done
		test "$(ls -A)" = "$(printf '%s\n' delete.db many persist.db persist.db-journal truncate.db truncate.db-journal wal.db)"`
}

// tree makes a tree of all that there is below dir, outside of the mount.
func (r *rig) tree(dir string) {
	r.sh(r.user, `
		mkdir -p `+dir+`/sub/deep/empty && cd `+dir+`
		for i in $(seq 60); do seq $i >sub/f$i; done
		head -c 2500000 /dev/urandom >sub/deep/big; truncate -s 3M sub/sparse; printf x >>sub/sparse
		printf '' >empty; printf 'a\nb' >'a name with spaces'; printf z >"$(printf 'not utf-8 \377')"
		ln sub/f1 sub/deep/hard; ln -s ../sub/f2 sub/soft; ln -s /nowhere dangling; mkfifo fifo
		chmod 700 sub/deep; chmod 4755 sub/f3; chmod 0 sub/f4; chmod 1777 sub/deep/empty
		setfattr -n user.one -v 1 sub/f5; setfattr -n user.two -v "$(head -c 900 /dev/zero | tr '\0' y)" sub/deep
		touch -d '2001-02-03 04:05:06.789012345' sub/f6; touch -h -d '1999-01-01' sub/soft; touch -d '1980-01-01' sub/deep/empty`)
}

func (r *rig) tar() string {
	r.tree("tree")
	r.sh(r.user, `tar --xattrs -C tree -cf tree.tar . && tar --xattrs -xpf tree.tar -C "$M/tar"`)
	same := `cd "$M/tar" && tar --xattrs -df "$HOME/tree.tar" && getfattr -d -m user -R . 2>&1 | sort >"$HOME/tar.attrs"
		(cd "$HOME/tree" && getfattr -d -m user -R . 2>&1 | sort) | diff - "$HOME/tar.attrs"
		test "$(stat -c %i sub/f1)" = "$(stat -c %i sub/deep/hard)"`
	r.sh(r.user, same)
	r.sh(r.user, `(cd "$M/tar" && tar --xattrs --sort=name --format=posix -cf - .) | tar -C tree -df -`)
	return same
}

func (r *rig) rsync() string {
	r.tree("there")
	first := `rsync -aHAX --delete there/ "$M/rsync/"`
	r.sh(r.user, first)
	second := `cd "$HOME" && test -z "$(` + strings.Replace(first, "rsync ", "rsync --itemize-changes ", 1) + ` | tee "$HOME/changes")"`
	if res := r.run(r.user, "sh", "-euc", second); res.err != nil {
		r.t.Fatalf("the second run found something to do:\n%s%s", r.sh(r.user, "cat changes"), res.stderr)
	}
	r.sh(r.user, `rm there/sub/f1 && echo what is new >there/sub/f2 && `+first+` && test ! -e "$M/rsync/sub/f1" && cmp there/sub/f2 "$M/rsync/sub/f2"`)
	return second
}

// goBuild compiles in the mount, with the cache there too, and runs what came out: it writes through a mapping.
func (r *rig) goBuild() string {
	dir := r.me("go")
	// The standard library is not compiled anew: it is there, since these tests were built.
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		r.t.Fatal(err)
	}
	write(r.t, dir+"/go.mod", []byte("module example.org/m\n\ngo 1.24\n"))
	write(r.t, dir+"/main.go", []byte(mapper))
	r.sh(dir, `
		head -c 200000 /dev/zero >mapped
		mkdir tmp && export GOCACHE="`+strings.TrimSpace(string(cache))+`" GOTMPDIR="$PWD/tmp" GOFLAGS=-mod=mod GOPROXY=off CGO_ENABLED=0 GOTOOLCHAIN=local
		go build -o m . && ./m mapped && go build -o m .`)
	return `cd "$M/go" && test "$(tail -c +100001 mapped | head -c 6)" = mapped && test "$(stat -c %s mapped)" = 200000
		test "$(head -c 5 mapped)" = write && ./m mapped`
}

// mapper maps a file, and sees the same bytes through the mapping and through write and read.
const mapper = `package main

import (
	"os"
	"syscall"
)

func main() {
	fd, err := syscall.Open(os.Args[1], syscall.O_RDWR, 0)
	check(err)
	m, err := syscall.Mmap(fd, 0, 200000, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	check(err)
	copy(m[100000:], "mapped")
	_, err = syscall.Pwrite(fd, []byte("write"), 0)
	check(err)
	if string(m[:5]) != "write" {
		panic("the mapping does not show what was written")
	}
	b := make([]byte, 6)
	_, err = syscall.Pread(fd, b, 100000)
	check(err)
	if string(b) != "mapped" {
		panic("read does not show what was mapped")
	}
	check(syscall.Munmap(m))
	check(syscall.Close(fd))
}

func check(err error) {
	if err != nil {
		panic(err.Error())
	}
}
`

// shell is what people do in a terminal.
func (r *rig) shell() string {
	r.tree("files")
	r.sh(r.me("shell"), `
		cp -a "$HOME/files" a && diff -r --no-dereference -x fifo "$HOME/files" a
		cp -a a b && mv b c && mv c/sub/deep c/moved && test -e c/moved/big && test ! -e c/sub/deep
		rm -r c && test ! -e c
		mkdir x && mv a/sub x/ && mv x/sub a/ && rmdir x
		echo one >f && ln f g && echo two >>g && test "$(cat f)" = "$(printf 'one\ntwo')" && test "$(stat -c %h f)" = 2
		rm f && test "$(cat g)" = "$(printf 'one\ntwo')" && test "$(stat -c %h g)" = 1
		exec 3<>open && echo gone >&3 && rm open && echo more >&3 && exec 3>&-
		ln -s a/sub/f2 s && test "$(cat s)" = "$(cat a/sub/f2)" && test "$(readlink s)" = a/sub/f2
		seq 100000 | sort -R | sort -n -T . -S 100k >sorted && seq 100000 | diff - sorted
		mv g ../moved && mv ../moved g
		find . -name 'f5?' | wc -l`)
	return `cd "$M/shell" && diff -r --no-dereference -x fifo "$HOME/files" a && test "$(cat g)" = "$(printf 'one\ntwo')"`
}
