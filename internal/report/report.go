package report

import (
	"context"
	"fmt"
	"sync"
)

// A Kind says what was looked at. Its text is for people and stable: scripts read it.
type Kind string

// The kinds, in the order in which a store is checked.
const (
	Home       Kind = "home"        // the FORMAT file, the directory itself
	Keyring    Kind = "keyring"     // identities/*.keys
	WAL        Kind = "wal"         // wal/*.wal
	Manifest   Kind = "manifest"    // the database's list of tables
	Table      Kind = "table"       // db/*.sst
	Segment    Kind = "segment"     // segments/*.car
	Block      Kind = "block"       // a block in a segment
	Index      Kind = "index"       // where the database says that a block is
	Mark       Kind = "mark"        // what the database says of a segment
	Membership Kind = "membership"  // which devices act for an identity
	Frame      Kind = "frame"       // a frame: form, hash, signature, sealing, chain
	Order      Kind = "order"       // the committed and the tentative order, heads, marks of a log
	Event      Kind = "event"       // an event that is in no frame yet
	Undo       Kind = "undo"        // what takes an event or a frame back
	Fact       Kind = "fact"        // what the state was before
	State      Kind = "state"       // the state that the events lead to
	Tree       Kind = "tree"        // what the state says of files and names
	Link       Kind = "link"        // content that the state reaches
	Raft       Kind = "raft"        // the order's own log
	Local      Kind = "local"       // device-local records
	Spill      Kind = "spill"       // spill/*.spill
	Unknown    Kind = "unknown key" // what is nobody's
)

// A Mend says what could put a finding right.
type Mend string

// What mends.
const (
	Nothing Mend = ""        // it can't be mended
	Rebuild Mend = "rebuild" // it follows from what is here: --repair makes it anew
	Copy    Mend = "copy"    // a copy of it: --repair --from DIR takes it from another store or a backup
)

// A Finding is one thing that is not as it must be.
type Finding struct {
	Kind  Kind
	Where string // a file and an offset, a key, a frame: as exact as can be
	What  string // what is wrong, in one line
	Mend  Mend
	Done  string // what was done about it; empty: nothing
	Note  bool   // worth knowing, and no damage
}

// most bounds how many findings of one kind are kept: a broken disk has enough of them.
const most = 1000

// A Report collects findings. Its methods may be called from any goroutine.
type Report struct {
	ctx  context.Context
	pace func(bytes int64) error

	mu       sync.Mutex
	findings []Finding
	left     map[Kind]int64 // how many more there were
	checked  map[Kind]int64
}

// New returns an empty report. pace is called with each piece of work, as bytes that were read: it may take its time, and shows how
// far the work is; its error, or the end of ctx, ends the work. nil: there is no hurry to keep back.
func New(ctx context.Context, pace func(bytes int64) error) *Report {
	return &Report{ctx: ctx, pace: pace, left: map[Kind]int64{}, checked: map[Kind]int64{}}
}

// Read tells that bytes were read. Its error says that the work is to end.
func (r *Report) Read(bytes int64) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.pace == nil {
		return nil
	}
	return r.pace(bytes)
}

// Checked counts things of a kind that were looked at.
func (r *Report) Checked(k Kind, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checked[k] += n
}

// Add takes a finding.
func (r *Report) Add(f Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for i := range r.findings {
		if r.findings[i].Kind == f.Kind {
			n++
		}
	}
	if n >= most {
		r.left[f.Kind]++
		return
	}
	r.findings = append(r.findings, f)
}

// Bad adds damage.
func (r *Report) Bad(k Kind, where string, m Mend, format string, args ...any) {
	r.Add(Finding{Kind: k, Where: where, Mend: m, What: fmt.Sprintf(format, args...)})
}

// Note adds what is no damage.
func (r *Report) Note(k Kind, where, format string, args ...any) {
	r.Add(Finding{Kind: k, Where: where, Note: true, What: fmt.Sprintf(format, args...)})
}

// Did adds what was done to mend something.
func (r *Report) Did(k Kind, where, format string, args ...any) {
	r.Add(Finding{Kind: k, Where: where, Note: true, Done: fmt.Sprintf(format, args...)})
}

// Findings returns what was found, in that order, and of which kinds there was more than is kept.
func (r *Report) Findings() (all []Finding, more map[Kind]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	more = map[Kind]int64{}
	for k, n := range r.left {
		more[k] = n
	}
	return append([]Finding(nil), r.findings...), more
}

// Counts returns how many things of each kind were looked at.
func (r *Report) Counts() map[Kind]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := map[Kind]int64{}
	for k, n := range r.checked {
		counts[k] = n
	}
	return counts
}

// Damaged returns how many findings are damage that nothing was done about.
func (r *Report) Damaged() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var n int64
	for _, f := range r.findings {
		if !f.Note && f.Done == "" {
			n++
		}
	}
	for _, more := range r.left {
		n += more
	}
	return n
}
