package tests

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// past looks at what was by the programs that people look with, takes it back with cp, and tries to change it.
func (r *rig) past() string {
	r.sh(r.me("past"), `
		mkdir -p a/b gone && echo one >a/f && seq 100000 >a/b/n && ln a/f a/g && ln -s f a/l && mkfifo a/p && echo x >gone/x
		head -c 3000000 /dev/urandom >big && truncate -s 5000000 big && chmod 640 a/f && touch -d 2001-02-03T04:05:06.789 a/b/n
		setfattr -n user.colour -v red a/f && setfacl -m u:1:r a/b/n && chmod 1711 gone
		cp -a . "$HOME/was"`)
	r.sh(r.me("past"), `
		T=$(date -u +%FT%T.%NZ) && echo "$T" >"$HOME/then"
		rm -r gone && echo two >a/f && mv a c && truncate -s 5 big && mkdir new "$M/past-later" && echo n >new/n
		then=.at/$T`+thePast+`
		grep -rqx one $then/a && ! grep -rqx two $then && test "$(find $then | wc -l)" = "$(find "$HOME/was" | wc -l)"
		seq 100000 | cmp - c/b/.at/$T/n
		mkdir "$HOME/tarred" && tar -C $then --xattrs --acls -cf - . | tar -C "$HOME/tarred" --xattrs --acls -xf -
		same "$HOME/was/" "$HOME/tarred/"
		cp -a $then/a back && same "$HOME/was/a/" back/ && rm -r back
		vim -u NONE -N -i NONE -es -c "w! $HOME/read" -c q $then/a/f </dev/null && echo one | diff - "$HOME/read"`)
	r.sh(r.me("past"), `
		T=$(cat "$HOME/then") && then=.at/$T
		refused() {
			if "$@" 2>"$HOME/why"; then echo "allowed: $*"; exit 1; fi
			grep -q 'Read-only file system' "$HOME/why" || { cat "$HOME/why"; exit 1; }
		}
		refused touch $then/new; refused sh -c "echo x >$then/a/f"; refused sh -c "echo x >>$then/a/f"
		refused rm -f $then/a/f; refused mkdir $then/a/new; refused rmdir $then/a; refused chmod 600 $then/a/f
		refused chown 0 $then/a/f; refused mv $then/a/f .; refused mv big $then/; refused ln big $then/new; refused ln $then/a/f new-link
		refused setfattr -n user.x -v y $then/a/f; refused truncate -s 0 $then/big; refused touch -m $then/a/f
		refused rmdir .at; refused mv .at elsewhere; refused mkdir .at/new; refused rm -rf $then/gone
		test "$(id -u)" != 0 || test -z "$(find $then/a/f -writable)"
		! mkdir .at 2>"$HOME/why" && grep -q 'File exists' "$HOME/why"`)
	r.sh(r.me("past"), `
		diff -r . .at/0s && diff -r . .at/now && echo more >>new/n && cat .at/now/new/n | diff - new/n
		test ! -e .at/10m && test ! -e .at/yesterday && test ! -e .at/3000-01-01 && test ! -e .at/rubbish
		cd "$M" && T=$(cat "$HOME/then") && test -e .at/$T/past/gone/x && test ! -e .at/$T/past-later && test -e .at/now/past-later
		test -e ../.at/$T/me/past/gone/x && cd .at/$T/past/a/b && test "$(cd ../.. && pwd -P)" = "$(pwd -P | sed 's,/a/b$,,')"`)
	r.mapsPast()
	return `cd "$M/past" && T=$(cat "$HOME/then") && then=.at/$T` + thePast
}

// mapsPast reads a large file of the past through a mapping.
func (r *rig) mapsPast() {
	r.t.Helper()
	then, err := os.ReadFile(filepath.Join(r.user, "then"))
	if err != nil {
		r.t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(r.user, "was", "big"))
	if err != nil {
		r.t.Fatal(err)
	}
	f, err := os.Open(r.me("past", ".at", strings.TrimSpace(string(then)), "big"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, len(want), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		r.t.Fatal(err)
	}
	defer unix.Munmap(b)
	if !bytes.Equal(b, want) {
		r.t.Error("a mapping of the past has other bytes")
	}
}

// thePast checks that $then is what was.
const thePast = `
	same() { test -z "$(rsync -aHAXni --delete "$1" "$2")" || { rsync -aHAXni --delete "$1" "$2"; exit 1; }; }
	same "$HOME/was/" $then/ && diff -r --no-dereference -x p "$HOME/was" $then
	test -d .at && ! ls -a | grep -qx .at && test -z "$(ls -A .at)"`
