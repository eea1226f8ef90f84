package control

import "time"

// Status is how a daemon and what it holds are.
type Status struct {
	Sentence string `json:"sentence"` // what a person wants to know, from the numbers below; see Sentence

	Mount    Name      `json:"mount"` // the mount's directory, absolute
	Home     Name      `json:"home"`
	ReadOnly bool      `json:"read_only,omitempty"`
	PID      int       `json:"pid"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`

	Files      int64      `json:"files"` // what is not a directory, in all volumes
	Bytes      int64      `json:"bytes"` // their sizes
	Events     Events     `json:"events"`
	StoreSize  int64      `json:"store_bytes"`
	DiskFree   int64      `json:"disk_free_bytes"` // for this user
	Identities []Identity `json:"identities"`
	Volumes    []Volume   `json:"volumes"`
	// Checkpoints are the last of each identity: from there another device could go on.
	Checkpoints []Checkpoint `json:"checkpoints,omitempty"`
	Health      []Finding    `json:"health,omitempty"` // nothing: all is well
	Damage      []Damage     `json:"damage,omitempty"`

	// Large parts of volumes that were deleted at once in the last days, and not brought back since.
	MassDeletions []MassDeletion `json:"mass_deletions,omitempty"`
}

// Events counts events by how far they have come.
type Events struct {
	Committed uint64 `json:"committed"`
	Tentative uint64 `json:"tentative"` // in frames that Raft has not ordered yet
	Unframed  uint64 `json:"unframed"`  // made here and not in a frame yet
}

// A Checkpoint is a point of an identity's order from which a device can go on that has nothing before.
type Checkpoint struct {
	Identity string    `json:"identity"`
	Time     time.Time `json:"time,omitzero"` // when it was made; zero: in an earlier run of the daemon
	Index    uint64    `json:"index"`
	Events   uint64    `json:"events"` // that it has
	Records  uint64    `json:"records"`
	Why      string    `json:"why,omitempty"`
	Took     float64   `json:"seconds,omitempty"`
}

// An Identity is one of this device's identities.
type Identity struct {
	Name      string `json:"name"`
	ID        string `json:"id"`         // did:key of the root
	Device    string `json:"device"`     // did:key of this device
	HasPhrase bool   `json:"has_phrase"` // the root secret is on this device
}

// A Volume is a volume of this device.
type Volume struct {
	ID       VolumeID `json:"id"`
	Label    Name     `json:"label"` // as a person names it: "me" (a home volume) or "me/notes"
	Identity string   `json:"identity"`
	Home     bool     `json:"home,omitempty"`
	Files    int64    `json:"files"`
	Bytes    int64    `json:"bytes"`
	Events   Events   `json:"events"`
	// LogSince is when a checkpoint was made that stands in for all events before: this device has them no more. Absent: it has all.
	LogSince *time.Time `json:"log_since,omitempty"`
}

// A Finding is something that a person should know or do something about.
type Finding struct {
	Grade State  `json:"grade"` // Warn or Bad
	What  string `json:"what"`
	Hint  string `json:"hint,omitempty"`
}

// Damage is stored bytes that are not what they were. Reading what they belong to gives EIO.
type Damage struct {
	Volume VolumeID `json:"volume,omitempty"` // "" if unknown
	Path   Name     `json:"path,omitempty"`   // "" if no file is known to need them
	What   string   `json:"what"`             // "segment 12 is missing"
}

// A MassDeletion is more than a fifth of a volume of more than a hundred files that was deleted without a pause of a minute.
// rhizome undo --since SINCE PATH takes it back.
type MassDeletion struct {
	Volume  VolumeID  `json:"volume"`
	Path    Name      `json:"path"`  // the volume's root, absolute
	Since   time.Time `json:"since"` // just before it
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	Removed int64     `json:"removed"` // files
	Of      int64     `json:"of"`
}

// A Check is one thing that doctor looked at.
type Check struct {
	Name   string `json:"name"` // "fuse device"
	State  State  `json:"state"`
	Detail string `json:"detail,omitempty"` // what was found, for the user: may hold paths
	Hint   string `json:"hint,omitempty"`   // what to do
	Code   Code   `json:"code,omitempty"`   // the kind of failure, if State is Bad; "" is Failed
	// Facts may be shown to strangers: no names, contents, keys or paths of the user.
	Facts map[string]string `json:"facts,omitempty"`
}

// A State grades a check or a finding.
type State string

// The states.
const (
	OK   State = "ok"
	Note State = "note" // neither good nor bad
	Warn State = "warn" // works, and will or may not for long
	Bad  State = "bad"  // does not work
)
