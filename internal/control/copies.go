package control

import "time"

// The routes of what is copied out of a store.
const (
	BackupRoute StreamRoute[BackupRequest, BackupEvent] = "POST /v1/backup"
	ExportRoute StreamRoute[ExportRequest, ExportEvent] = "POST /v1/export"
)

// Progress is how far something long has come.
type Progress struct {
	What  string `json:"what"`           // the step that goes on, "copying": one word or two
	Unit  Unit   `json:"unit,omitempty"` // of Done and Total
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"` // 0: not known
}

// A Unit is what work is counted in.
type Unit string

// The units.
const (
	Bytes  Unit = "" // what it is counted in mostly
	Files  Unit = "files"
	Frames Unit = "frames"
)

// A BackupRequest asks for a backup to be made or brought up to date.
type BackupRequest struct {
	Dir      Name   `json:"dir"`                // absolute
	Identity string `json:"identity,omitempty"` // "" for all
	Repair   bool   `json:"repair,omitempty"`   // read all that is there, and write anew what is damaged
}

// A BackupEvent is either how far it has come, or, once for each identity, what was done.
type BackupEvent struct {
	Progress *Progress     `json:"progress,omitempty"`
	Result   *BackupResult `json:"result,omitempty"`
}

// A BackupResult says what is in a backup now.
type BackupResult struct {
	Identity string     `json:"identity"`
	Dir      Name       `json:"dir"`
	AsOf     time.Time  `json:"as_of"`            // everything that happened before is in the backup, but for what is listed below
	Before   *time.Time `json:"before,omitempty"` // as of when it was before this run
	Frames   int64      `json:"frames"`           // that this run wrote
	Blocks   int64      `json:"blocks"`
	Bytes    int64      `json:"bytes"`
	// Missing are files whose content is damaged here, so that it is not in the backup as a whole: some of them, if there are many.
	Missing []Name `json:"missing,omitempty"`
	// MissingVersions is how many contents that is, of earlier versions too.
	MissingVersions int64 `json:"missing_versions,omitempty"`
	// Mended are the backup's files that were damaged, if they were looked for; what was in them has been written anew.
	Mended []string `json:"mended,omitempty"`
}

// A Recovered says what came back from a backup.
type Recovered struct {
	Identity Identity  `json:"identity"`
	AsOf     time.Time `json:"as_of"` // of the backup
	Volumes  int       `json:"volumes"`
	Frames   int64     `json:"frames"`
	Blocks   int64     `json:"blocks"`
	Bytes    int64     `json:"bytes"`
	// Damaged are the backup's files that are not what was written; what they held is not back. Only if that was asked for.
	Damaged []string `json:"damaged,omitempty"`
	// MissingVersions is how many contents were not in the backup as a whole when it was written.
	MissingVersions int `json:"missing_versions,omitempty"`
	// LostSnapshots are names of snapshots that are not back, since the backup has not all of their time.
	LostSnapshots []Name `json:"lost_snapshots,omitempty"`
	// Gaps are volumes whose log lacks events that the store which was backed up had let go. A checkpoint has what they said: files, versions and
	// the past are as they were there.
	Gaps []LogGap `json:"gaps,omitempty"`
}

// A LogGap is where a log lacks events.
type LogGap struct {
	Volume VolumeID  `json:"volume"`
	Until  time.Time `json:"until"`           // the log is whole behind it
	Early  bool      `json:"early,omitempty"` // there are events from before, which had been backed up
}

// A BackupCheck is what is wrong with a backup; Faults is empty if nothing is.
type BackupCheck struct {
	Dir    Name     `json:"dir"`
	Parts  int      `json:"parts"` // identities
	Bytes  int64    `json:"bytes"`
	Faults []string `json:"faults"`
}

// An ExportRequest asks for a part of the tree to be copied: to Dir as ordinary files, or to File as UnixFS in a CAR, or as a CAR of
// sealed blocks.
type ExportRequest struct {
	Path   Name   `json:"path"`         // absolute, in the mount
	At     string `json:"at,omitempty"` // a time, or a snapshot's name; "": now, or as Path says
	Dir    Name   `json:"dir,omitempty"`
	File   Name   `json:"file,omitempty"`
	Sealed bool   `json:"sealed,omitempty"` // File's blocks are
	Mode   uint32 `json:"mode,omitempty"`   // of a File that is not sealed, which is the caller's matter; 0: nobody else may read it
}

// An ExportEvent is either how far it has come, or, last, what was done.
type ExportEvent struct {
	Progress *Progress     `json:"progress,omitempty"`
	Result   *ExportResult `json:"result,omitempty"`
}

// An ExportResult says what was exported.
type ExportResult struct {
	Path        Name     `json:"path"`
	To          Name     `json:"to"`
	Root        string   `json:"root,omitempty"` // the root's CID, of a CAR
	Link        string   `json:"link,omitempty"` // of a sealed CAR: the root's CID and the key that opens all below it. A secret
	Files       int64    `json:"files"`          // names, of directories too
	Bytes       int64    `json:"bytes"`          // of contents
	Missed      []Missed `json:"missed,omitempty"`
	MissedCount int64    `json:"missed_count,omitempty"`
	Damaged     bool     `json:"damaged,omitempty"` // some of it was, because the store is
}

// A Missed is something that was not exported, or not all of it.
type Missed struct {
	Path Name   `json:"path"`
	Why  string `json:"why"`
}
