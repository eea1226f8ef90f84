package control

import "time"

// The routes of snapshots.
const (
	SnapshotCreate Route[SnapshotRequest, Snapshot]        = "POST /v1/snapshot/create"
	SnapshotList   Route[SnapshotListRequest, []Snapshot]  = "POST /v1/snapshot/list"
	SnapshotDelete Route[SnapshotRequest, SnapshotDeleted] = "POST /v1/snapshot/delete"
)

// A SnapshotRequest names a snapshot of a volume that is to be made or forgotten.
type SnapshotRequest struct {
	Volume VolumeID `json:"volume"`
	Name   string   `json:"name"`
}

// A SnapshotListRequest asks for the snapshots of a volume, or of all.
type SnapshotListRequest struct {
	Volume VolumeID `json:"volume,omitempty"`
	Keys   bool     `json:"keys,omitempty"` // with what opens them
}

// A Snapshot is a volume's tree as it was at a moment, under a name.
type Snapshot struct {
	Name      string    `json:"name"`
	Volume    VolumeID  `json:"volume"`
	Label     Name      `json:"label"`
	Time      time.Time `json:"time"`                // when it was asked for
	Tentative bool      `json:"tentative,omitempty"` // the order does not have all of it yet
	Index     uint64    `json:"index"`               // the last place of the order that it has
	OrderHash string    `json:"order_hash"`          // there, in hex
	Files     int64     `json:"files"`               // names in it, of directories too
	Bytes     int64     `json:"bytes"`
	Root      string    `json:"root"` // its root's CID
	// Link is the root's CID and the key that opens all below it. Who has it and the blocks can read the snapshot. Only if it was asked for.
	Link string        `json:"link,omitempty"`
	Made *SnapshotMade `json:"made,omitempty"` // only of one that was just made
}

// SnapshotMade is what making a snapshot cost, when the order had what it should have.
type SnapshotMade struct {
	Blocks  int64   `json:"blocks"` // that were not there before
	Bytes   int64   `json:"bytes"`  // of these
	Seconds float64 `json:"seconds"`
}

// SnapshotDeleted says that a snapshot is gone.
type SnapshotDeleted struct {
	Name  string `json:"name"`
	Label Name   `json:"label"`
}
