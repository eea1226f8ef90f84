package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// saves saves as office programs and editors of the desktop do: a lock file, a new file beside the old one, fsync, a backup by
// copy or by hard link, and a rename over the old name.
func (r *rig) saves() string {
	r.sh(r.me("saves"), `
		seq 1000 >doc.odt && chmod 640 doc.odt && setfattr -n user.tag -v kept doc.odt
		for i in 1 2 3; do
			printf 'me,host;' | dd of='.~lock.doc.odt#' conv=excl,fsync status=none
			! dd if=/dev/null of='.~lock.doc.odt#' conv=excl status=none 2>/dev/null
			seq $((1000 + i)) | dd of=lu$i.tmp conv=fsync status=none && chmod --reference=doc.odt lu$i.tmp
			cp -a doc.odt doc.odt~ && mv -f lu$i.tmp doc.odt && sync doc.odt && rm '.~lock.doc.odt#'
			seq $((1000 + i)) | cmp - doc.odt && seq $((999 + i)) | cmp - doc.odt~
			test $i -gt 1 || getfattr -n user.tag doc.odt~ | grep -q kept
		done
		echo 0 >text
		for i in 1 2 3; do
			echo $i | dd of=.goutputstream-$i conv=excl,fsync status=none
			rm -f text~ && ln text text~ && mv -f .goutputstream-$i text
			test "$(cat text)" = $i && test "$(cat text~)" = $((i - 1))
			test $(stat -c %h text) = 1 && test $(stat -c %h text~) = 1
		done`)
	return `cd "$M/saves" && seq 1003 | cmp - doc.odt && seq 1002 | cmp - doc.odt~ && test $(stat -c %a doc.odt) = 640
		test "$(cat text text~)" = "$(printf '3\n2')" && test $(ls -A | wc -l) = 4`
}

// watcher has one, like that of VS Code, see what another process of this machine does, all of it and in order.
func (r *rig) watcher() string {
	write(r.t, r.user+"/seen.want", []byte(`CREATE sub/b
MODIFY sub/b
MODIFY sub/a
MOVED_FROM sub/a
MOVED_TO sub/c
DELETE sub/b
CREATE new
MODIFY new
MOVED_FROM new
MOVED_TO sub/c
ATTRIB sub/c
CREATE sub/l
MODIFY sub/c
MOVED_FROM,ISDIR sub
MOVED_TO,ISDIR other
DELETE other/c
DELETE other/l
DELETE,ISDIR other
CREATE end
`))
	// The watcher says when it watches, and goes once it has seen the end.
	r.sh(r.me("watch"), `
		mkdir sub && echo 1 >sub/a && mkfifo "$HOME/ready"
		inotifywait -m -r -e create,modify,delete,move,attrib --format '%e %w%f' . >"$HOME/seen" 2>"$HOME/ready" & watcher=$!
		while read -r line; do case $line in *established*) break ;; esac; done <"$HOME/ready"
		echo 2 >sub/b && echo 3 >>sub/a && mv sub/a sub/c && rm sub/b
		echo 4 >new && mv new sub/c && chmod 600 sub/c && ln sub/c sub/l && truncate -s 1 sub/c
		mv sub other && rm other/c other/l && rmdir other && : >end
		for i in $(seq 200); do ! grep -q ' ./end$' "$HOME/seen" || break; sleep 0.05; done
		kill $watcher; wait $watcher || true
		sed 's, \./, ,' "$HOME/seen" | diff "$HOME/seen.want" -`)
	return `test "$(ls -A "$M/watch")" = end`
}

// vault is what an editor of notes does: it finds out whether case matters, renames by case alone, cuts and writes a note over
// and over, and keeps its workspace beside.
func (r *rig) vault() string {
	r.sh(r.me("vault"), `
		mkdir .obsidian && echo x >.obsidian/CaseTest && test ! -e .obsidian/casetest && echo y >.obsidian/casetest
		test "$(cat .obsidian/CaseTest .obsidian/casetest)" = "$(printf 'x\ny')" && rm .obsidian/CaseTest .obsidian/casetest
		echo n >Note.md && mv Note.md note.md && test "$(ls)" = note.md && mv note.md Note.md && test "$(ls)" = Note.md
		for i in $(seq 9 -1 1) $(seq 9); do
			seq $i >Note.md && test "$(tail -n 1 Note.md)" = $i && test $(wc -l <Note.md) = $i
			printf '{"n":%s}' $i >.obsidian/workspace.json
		done`)
	return `cd "$M/vault" && seq 9 | cmp - Note.md && test "$(cat .obsidian/workspace.json)" = '{"n":9}'`
}

// trash does what file managers do with a trash at the mount's top. mv copies where a rename is refused, and then what arrives is
// another inode.
func (r *rig) trash() string {
	r.sh(r.me("trash"), `
		T="$M/../.Trash-$(id -u)" && mkdir -m 700 "$T" && mkdir "$T/info" "$T/files"
		! mkdir "$M/../.Trash-12345" 2>/dev/null && ! mkdir "$M/../else" 2>/dev/null && test $(stat -c %a "$T") = 700
		mkdir -p d/sub && seq 100000 >d/big && ln d/big d/sub/hard && echo l >d/.l.swp && ln -s big d/link && echo top >"$M/top"
		same() { test "$(cd "$1" && find . -printf '%p %i %m %s %n %l %T@\n' | sort)" = "$was"; }
		was=$(cd d && find . -printf '%p %i %m %s %n %l %T@\n' | sort) && exec 3<d/big
		echo '[Trash Info]' >"$T/info/d.trashinfo" && mv d "$T/files/d" && test ! -e d && same "$T/files/d" && same "$T/files/d"
		seq 100000 | cmp - /proc/self/fd/3 && mv "$T/files/d" back && same back && seq 100000 | cmp - back/sub/hard
		mv "$M/top" "$T/files/" && mv back/.l.swp back/l && mv back/sub/hard hard && mv hard back/sub/hard
		test "$(ls "$T/files")" = top && mv back "$T/files/" && test "$(ls "$T/files")" = "$(printf 'back\ntop')" && rm "$T/info/d.trashinfo"
		echo kept >kept && sync kept`)
	return `
		T="$M/../.Trash-$(id -u)" && test "$(ls -A "$M/trash")" = kept && test "$(cat "$T/files/top" "$T/files/back/l")" = "$(printf 'top\nl')"
		seq 100000 | cmp - "$T/files/back/sub/hard" && test $(stat -c %h "$T/files/back/big") = 2
		mv "$T/files/back" "$M/trash/" && rm -r "$T" && test "$(ls "$M/..")" = me && seq 100000 | cmp - "$M/trash/back/link"`
}

// mail has a folder of mail (a Maildir) delivered to by two, by rename and by link, while two read it and rename what they read.
// Every message comes once, and whole.
func (r *rig) mail() string {
	const each, deliverers = 60, 2
	box := func(elem ...string) string { return filepath.Join(append([]string{r.me("mail")}, elem...)...) }
	for _, dir := range []string{"tmp", "new", "cur"} {
		if err := os.Mkdir(box(dir), 0o700); err != nil {
			r.t.Fatal(err)
		}
	}
	var delivering, reading sync.WaitGroup
	var delivered atomic.Bool
	var read atomic.Int64
	for d := range deliverers {
		delivering.Go(func() {
			for i := range each {
				if err := deliver(box, fmt.Sprintf("%d.M%d.host", i, d), i%2 == 0); err != nil {
					r.t.Error(err)
				}
			}
		})
	}
	for range 2 {
		reading.Go(func() {
			for last := false; !last; {
				last = delivered.Load() // before it lists: what it lists then is all there will be
				n, err := readNew(box)
				if read.Add(int64(n)); err != nil {
					r.t.Error(err)
					return
				}
			}
		})
	}
	delivering.Wait()
	delivered.Store(true)
	reading.Wait()
	if n := read.Load(); n != each*deliverers {
		r.t.Errorf("%d of %d messages were read", n, each*deliverers)
	}
	return fmt.Sprintf(`cd "$M/mail" && test -z "$(ls -A new tmp | grep host)" && test $(ls cur | grep -c ':2,S$') = %d && test -z "$(grep -L '^end$' cur/*)"`, each*deliverers)
}

func message(name string) []byte {
	return fmt.Appendf(nil, "Subject: %s\n\n%s\nend\n", name, bytes.Repeat([]byte(name), 50))
}

// deliver brings a message the way that qmail does (link and unlink) or as most do now (rename).
func deliver(box func(...string) string, name string, link bool) error {
	tmp, to := box("tmp", name), box("new", name)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(message(name))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if link {
		return errors.Join(os.Link(tmp, to), os.Remove(tmp))
	}
	return os.Rename(tmp, to)
}

// readNew takes what is new, looks at it, and marks it as seen. What another reader took first is left to it.
func readNew(box func(...string) string) (n int, err error) {
	list, err := os.ReadDir(box("new"))
	if err != nil {
		return 0, err
	}
	for _, e := range list {
		cur := box("cur", e.Name()+":2,")
		if err := os.Rename(box("new", e.Name()), cur); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return n, err
		}
		got, err := os.ReadFile(cur)
		if err != nil {
			return n, err
		}
		if !bytes.Equal(got, message(e.Name())) {
			return n, fmt.Errorf("message %s: %q", e.Name(), got)
		}
		if err := os.Rename(cur, cur+"S"); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
