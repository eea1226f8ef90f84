package control

import "time"

// The routes of history. A path is absolute and clean, below the mount, and need not exist.
const (
	HistoryRoute StreamRoute[HistoryRequest, HistoryEntry] = "POST /v1/history"
	RestoreRoute StreamRoute[RestoreRequest, Restored]     = "POST /v1/restore"
	UndoRoute    StreamRoute[UndoRequest, Restored]        = "POST /v1/undo"
	DiffRoute    StreamRoute[DiffRequest, Difference]      = "POST /v1/diff"
)

// A When is a moment: a time, or that of a snapshot of the volume that a path is in.
type When struct {
	Time     *time.Time `json:"time,omitempty"`
	Snapshot string     `json:"snapshot,omitempty"`
}

// A HistoryRequest asks what happened to a path.
type HistoryRequest struct {
	Path Name `json:"path"`
	Last int  `json:"last,omitempty"` // the last so many entries only; 0 for all
	Diff bool `json:"diff,omitempty"` // with what each edit of a text changed
}

// A HistoryEntry is one thing that happened to a path; the newest comes first. What is "create", "edit", "rename", "link", "unlink", "remove",
// "restore", "chmod", "chown", "xattr", "touch"; and of a directory "came" and "gone" for names in it.
type HistoryEntry struct {
	Time    time.Time `json:"time"`
	Who     string    `json:"who,omitempty"`    // the device, short, as a person knows it; "" if it is not known
	Device  string    `json:"device,omitempty"` // did:key
	What    string    `json:"what"`
	Path    Name      `json:"path"` // from the mount's top
	From    Name      `json:"from,omitempty"`
	Kind    string    `json:"kind"`
	Bytes   *int64    `json:"bytes,omitempty"`
	Version string    `json:"version,omitempty"` // hex; of an edit
	Diff    string    `json:"diff,omitempty"`    // unified
	NoDiff  string    `json:"no_diff,omitempty"` // why there is none: "binary", "too large", "not kept"
}

// A RestoreRequest asks to make a path what it was. Without At: what it was before it became what it is.
type RestoreRequest struct {
	Path   Name  `json:"path"`
	At     *When `json:"at,omitempty"`
	Exact  bool  `json:"exact,omitempty"` // what was not there then goes
	DryRun bool  `json:"dry_run,omitempty"`
}

// An UndoRequest asks to take back what was done to a path since a time, or the last change.
type UndoRequest struct {
	Path   Name  `json:"path,omitempty"` // "" for everything
	Since  *When `json:"since,omitempty"`
	DryRun bool  `json:"dry_run,omitempty"`
}

// A Restored is one thing that a restore or an undo did or would do. What is "moment": Time says of when what follows is; then "restore" (it is
// there again), "change" (content or attributes are what they were), "rename" (it has its former name), "remove", "skip" (Why says why).
type Restored struct {
	What  string     `json:"what"`
	Path  Name       `json:"path"` // from the mount's top
	From  Name       `json:"from,omitempty"`
	Kind  string     `json:"kind,omitempty"`
	Bytes *int64     `json:"bytes,omitempty"` // of a file
	Why   string     `json:"why,omitempty"`
	Time  *time.Time `json:"time,omitempty"`
}

// A DiffRequest asks what differs at and below a path between two times; without To, between From and now.
type DiffRequest struct {
	Path Name  `json:"path"`
	From When  `json:"from"`
	To   *When `json:"to,omitempty"`
}

// A Difference is what became of one name: What is "added", "removed", "changed", "renamed", "attributes".
type Difference struct {
	What  string `json:"what"`
	Path  Name   `json:"path"` // from the mount's top
	From  Name   `json:"from,omitempty"`
	Kind  string `json:"kind"`
	Bytes *int64 `json:"bytes,omitempty"`     // of a file, at the later time; of what was removed at the earlier one
	Was   *int64 `json:"was_bytes,omitempty"` // of a file that changed
}
