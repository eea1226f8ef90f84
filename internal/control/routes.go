package control

import (
	"log/slog"
	"time"
)

// A Route is a method and a path; Q is the type of its question, A of its answer. The question of a GET
// is struct{}.
type Route[Q, A any] string

// A StreamRoute is a Route whose answer is any number of E.
type StreamRoute[Q, E any] string

// Every route there is. A field that a side doesn't know yet must not change the meaning of the others.
const (
	StatusRoute  Route[struct{}, Status]                = "GET /v1/status"
	ChecksRoute  Route[struct{}, []Check]               = "GET /v1/checks"
	WhereRoute   Route[WhereRequest, Where]             = "POST /v1/where"
	UnmountRoute Route[UnmountRequest, UnmountAnswer]   = "POST /v1/unmount"
	LogRoute     StreamRoute[LogRequest, LogEntry]      = "POST /v1/log"
	VerifyRoute  StreamRoute[VerifyRequest, VerifyStep] = "POST /v1/verify"
	IdentityList Route[struct{}, []Identity]            = "GET /v1/identity"
	IdentityNew  Route[IdentityNewRequest, Identity]    = "POST /v1/identity/new"
	IdentityName Route[IdentityRenameRequest, Identity] = "POST /v1/identity/rename"
	PhraseRoute  Route[PhraseRequest, Phrase]           = "POST /v1/identity/phrase"
	ForgetRoute  Route[ForgetRequest, Identity]         = "POST /v1/identity/forget"
)

// A WhereRequest asks what Path is.
type WhereRequest struct {
	Path Name `json:"path"` // absolute and clean; need not exist
}

// Where says what a path inside the mount belongs to. A path outside the mount is NotFound.
type Where struct {
	Identity string   `json:"identity,omitempty"` // "" for the mount's top
	Volume   VolumeID `json:"volume,omitempty"`   // "" for the mount's top
	Label    Name     `json:"label,omitempty"`    // the volume as a person names it: "me" or "me/notes"
	Path     Name     `json:"path,omitempty"`     // below the volume's root
}

// A VolumeID is a volume's id in hex.
type VolumeID string

// An UnmountRequest asks the daemon to end.
type UnmountRequest struct {
	// Force makes open files durable and detaches the mount, though programs hold files open.
	Force bool `json:"force,omitempty"`
}

// An UnmountAnswer without holders says that the mount is gone, everything is durable, and the daemon is
// about to end. With holders nothing has changed.
type UnmountAnswer struct {
	Holders []Holder `json:"holders,omitempty"`
}

// A Holder is a process that keeps the mount in use.
type Holder struct {
	PID     int    `json:"pid"`
	Command Name   `json:"command"`
	Paths   []Name `json:"paths,omitempty"` // open files, and directories it works in; not all if many
}

// A LogRequest asks for what happened.
type LogRequest struct {
	Volume VolumeID `json:"volume,omitempty"` // "" for all
	Last   int      `json:"last,omitempty"`   // the last so many only; 0 for all
	Follow bool     `json:"follow,omitempty"` // then wait for more until the client goes
}

// A LogEntry is one change. The order is the shown one: committed prefix, then tentative suffix, oldest
// first; over several volumes by time. An event of several operations gives several entries.
type LogEntry struct {
	Time      time.Time `json:"time"`            // by the author's clock
	Who       string    `json:"who"`             // the device, short, as a person knows it
	Device    string    `json:"device"`          // did:key
	What      string    `json:"what"`            // "create", "edit", "rename", …: one word; "compacted": no event, but those before are here no more, or not all
	Path      Name      `json:"path"`            // from the mount's top: "me/notes/a.md"
	To        Name      `json:"to,omitempty"`    // rename, link: the other name; symlink: the target
	Bytes     *int64    `json:"bytes,omitempty"` // edit: the file's size
	Volume    VolumeID  `json:"volume"`
	Feed      string    `json:"feed"`            // hex
	Seq       uint64    `json:"seq,omitempty"`   // 0: not in a frame yet
	Index     uint64    `json:"index,omitempty"` // 0: tentative
	Tentative bool      `json:"tentative"`

	// Of one of the removals that it is made of.
	MassDeletion *MassDeletion `json:"mass_deletion,omitempty"`
}

// An IdentityNewRequest makes an identity with a directory of that name.
type IdentityNewRequest struct {
	Name string `json:"name"`
}

// An IdentityRenameRequest renames an identity on this device.
type IdentityRenameRequest struct {
	Name string `json:"name"`
	To   string `json:"to"`
}

// A PhraseRequest asks for the recovery phrase of an identity. After a forget it is NotFound.
type PhraseRequest struct {
	Identity string `json:"identity"`
}

// A Phrase is an identity's recovery phrase.
type Phrase struct {
	Identity string `json:"identity"`
	Words    Words  `json:"phrase"`
}

// A ForgetRequest removes an identity's root secret from this device. Words must be its whole phrase:
// whoever asks has written it down.
type ForgetRequest struct {
	Identity string `json:"identity"`
	Words    Words  `json:"phrase"`
}

// LogValue implements slog.LogValuer.
func (p Phrase) LogValue() slog.Value { return slog.StringValue(secret) }

// LogValue implements slog.LogValuer.
func (r ForgetRequest) LogValue() slog.Value { return slog.StringValue(secret) }
