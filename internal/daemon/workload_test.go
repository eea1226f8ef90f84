package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	iofs "io/fs"

	"github.com/rhizome-fs/rhizome/fs"
)

// The workloads by which the cost model of checkpoints is judged, each run against a real daemon. Some have a clock of their own: what programs do in
// hours goes by in a minute, and is framed as it would be then, since each step waits until the order has it.
var workloads = []struct {
	name string
	does func(r *recorder)
}{
	{"untar", untar},
	{"editor", editorsDay},
	{"sqlite", sqliteInserts},
	{"churn", churn},
	{"move", moveMany},
}

// untar unpacks 2,900 of Go's source files every quarter of an hour, for two hours.
func untar(r *recorder) {
	files := goSource(r.b, 2900)
	for n := range 8 {
		start := r.at
		r.burst(func() {
			dirs := map[string]fs.NodeID{".": r.mkdir(r.vol, fmt.Sprint("go", n))}
			for _, f := range files {
				r.unpack(r.under(dirs, filepath.Dir(f.path)), filepath.Base(f.path), f.data)
			}
		})
		r.checkpoint()
		r.until(start + 15*time.Minute)
	}
}

// editorsDay saves a note every 20 s as vim does, for 40 minutes of each of eight hours.
func editorsDay(r *recorder) {
	text := bytes.Repeat([]byte("A line of a note that somebody writes.\n"), 60)
	write(r.b, r.d, r.vol, "note.md", text)
	r.begin()
	for hour := range 8 {
		for save := range 120 {
			text = fmt.Appendf(text, "Hour %d, save %d.\n", hour, save)
			r.must(r.d.fs.Rename(r.vol, "note.md", r.vol, "note.md~", 0))
			r.save("note.md", text)
			r.must(r.d.fs.Unlink(r.vol, "note.md~"))
			r.step(20 * time.Second)
		}
		r.checkpoint()
		r.until(time.Duration(hour+1) * time.Hour)
	}
}

// sqliteInserts makes the calls of an insert by sqlite3 once a second, for an hour: a journal, two pages, and the journal is gone.
func sqliteInserts(r *recorder) {
	page := make([]byte, 4096)
	write(r.b, r.d, r.vol, "db", bytes.Repeat(page, 2))
	r.begin()
	for n := range 3600 {
		db := r.open("db")
		journal := r.create("db-journal")
		r.write(journal, 0, page[:512])
		r.write(journal, 512, page)
		r.must(r.d.fs.Fsync(journal))
		r.write(journal, 0, page[:12])
		r.must(r.d.fs.Fsync(journal))
		copy(page, fmt.Sprint("row ", n))
		r.write(db, 0, page)
		r.write(db, int64(1+n/40)*int64(len(page)), page) // a page has 40 rows
		r.must(r.d.fs.Fsync(db))
		r.close(journal)
		r.must(r.d.fs.Unlink(r.vol, "db-journal"))
		r.close(db)
		r.step(time.Second)
		if n%450 == 449 {
			r.checkpoint()
		}
	}
}

// churn writes one small file anew ten times a second, two for a frame, for 40 minutes.
func churn(r *recorder) {
	r.begin()
	for n := range 12_000 {
		for k := range 2 {
			r.save("counter", bytes.Repeat(fmt.Appendf(nil, "%d.%d ", n, k), 100))
		}
		r.step(200 * time.Millisecond)
		if n%1500 == 1499 {
			r.checkpoint()
		}
	}
}

// moveMany makes 100,000 files, and moves each of them to another directory ten minutes later; the whole takes two hours.
func moveMany(r *recorder) {
	const files, in = 100_000, 1000
	var from, to []fs.NodeID
	for n := range files / in {
		from, to = append(from, r.mkdir(r.vol, fmt.Sprint("from", n))), append(to, r.mkdir(r.vol, fmt.Sprint("to", n)))
	}
	r.begin()
	each := func(part int, do func(dir int, name string)) {
		r.burst(func() {
			for n := part * files / 4; n < (part+1)*files/4; n++ {
				do(n/in, fmt.Sprint("file", n))
			}
		})
		r.checkpoint()
	}
	for part := range 4 {
		each(part, func(dir int, name string) { r.unpack(from[dir], name, []byte("small")) })
	}
	r.until(r.at + 10*time.Minute)
	for part := range 4 {
		each(part, func(dir int, name string) { r.must(r.d.fs.Rename(from[dir], name, to[dir], name, 0)) })
	}
	r.until(2 * time.Hour)
}

type sourceFile struct {
	path string
	data []byte
}

// goSource reads some of the files of Go's source tree.
func goSource(b *testing.B, most int) (files []sourceFile) {
	b.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		b.Skip("there is no Go source tree: ", err)
	}
	src := filepath.Join(strings.TrimSpace(string(root)), "src")
	err = filepath.WalkDir(src, func(path string, e iofs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if files = append(files, sourceFile{rel, data}); len(files) == most {
			return filepath.SkipAll
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return files
}

// A recorded workload is what came of a real one, and what checkpoints of it and replaying it cost then.
type recorded struct {
	Command string      `json:"command"`   // that records it anew
	Replay  float64     `json:"replay_ns"` // to replay an event
	Makes   []made      `json:"makes"`
	Seconds int         `json:"seconds"` // how long it is
	Trace   []cameSoFar `json:"trace"`   // ascending; in between it came evenly
}

// A made checkpoint.
type made struct {
	Events  uint64 `json:"events"`  // that it has
	Since   uint64 `json:"since"`   // of them, since the one before
	Records uint64 `json:"records"` // of the state
	Took    int64  `json:"ns"`
	Anew    int64  `json:"anew_ns"` // of it, for what was new
}

// cameSoFar are milliseconds, and events and bytes of the order by then.
type cameSoFar [3]uint64

const workloadDir = "testdata/workloads"

func (r *recorded) save(b *testing.B, name string) {
	b.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		b.Fatal(err)
	}
	// A line for each sample, so that the next recording can be compared.
	data = bytes.ReplaceAll(data, []byte("],["), []byte("],\n["))
	data = bytes.ReplaceAll(data, []byte("},{"), []byte("},\n{"))
	if err := os.WriteFile(filepath.Join(workloadDir, name+".json"), append(data, '\n'), 0o644); err != nil {
		b.Fatal(err)
	}
}

func loadWorkload(t testing.TB, name string) *recorded {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(workloadDir, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	r := &recorded{}
	if err := json.Unmarshal(data, r); err != nil {
		t.Fatalf("workload %s: %v", name, err)
	}
	return r
}
