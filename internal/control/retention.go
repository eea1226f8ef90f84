package control

import "time"

// The routes of retention.
const (
	GCRoute        Route[GCRequest, GCAnswer]           = "POST /v1/gc"
	RetentionRoute Route[RetentionRequest, []Retention] = "POST /v1/retention"
)

// A GCRequest asks to apply retention and to collect garbage now.
type GCRequest struct {
	Dry bool `json:"dry_run,omitempty"` // only say what would go
}

// A GCAnswer says what went, or would.
type GCAnswer struct {
	Versions     int   `json:"versions"`      // of files, that are kept no longer
	VersionBytes int64 `json:"version_bytes"` // their sizes; blocks that others share stay
	Records      int   `json:"records"`       // of history: what names, attributes and inodes were
	RecordBytes  int64 `json:"record_bytes"`
	Frames       int   `json:"frames"` // of the log, which a checkpoint stands in for
	FrameBytes   int64 `json:"frame_bytes"`
	Garbage      int64 `json:"garbage_bytes,omitempty"` // dry run: blocks that nothing reaches already
	Freed        int64 `json:"freed_bytes"`             // what the disk got back
}

// A RetentionRequest asks how long history is kept, and changes it if Change is there.
type RetentionRequest struct {
	Volume VolumeID        `json:"volume,omitempty"` // "" for all
	Change *RetentionTimes `json:"change,omitempty"`
}

// RetentionTimes are lengths of time as package when reads them, one after the other. In a change "" leaves one as it is.
type RetentionTimes struct {
	All    string `json:"all,omitempty"`    // everything is kept
	Hourly string `json:"hourly,omitempty"` // what was there at each full hour
	Daily  string `json:"daily,omitempty"`
	Weekly string `json:"weekly,omitempty"`
}

// A Retention is a volume's.
type Retention struct {
	Volume VolumeID       `json:"volume"`
	Label  Name           `json:"label"`
	Times  RetentionTimes `json:"keep"`
	Since  *time.Time     `json:"since,omitempty"` // when this device's history of the volume begins, if anything is missing before
}
