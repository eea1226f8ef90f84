package control

// A VerifyRequest asks a daemon to check the store that it serves.
type VerifyRequest struct {
	Deep bool `json:"deep,omitempty"` // open every leaf, and replay the log
}

// A VerifyStep is one line of the answer: how far the work is, or, last, the report.
type VerifyStep struct {
	Done   int64         `json:"done,omitempty"` // bytes
	Total  int64         `json:"total,omitempty"`
	Report *VerifyReport `json:"report,omitempty"`
}

// A VerifyReport says what was checked and what was found.
type VerifyReport struct {
	Clean    bool             `json:"clean"` // nothing is damaged, or all that was is mended
	Deep     bool             `json:"deep"`
	Mounted  bool             `json:"mounted"` // a daemon was at work on the store meanwhile
	Repaired bool             `json:"repaired"`
	Checked  map[string]int64 `json:"checked"` // how many things of each kind
	Bytes    int64            `json:"bytes"`   // that were read
	Findings []VerifyFinding  `json:"findings"`
	More     map[string]int64 `json:"more,omitempty"` // how many findings of a kind are not listed
}

// A VerifyFinding is one thing that is not as it was written or as it must be.
type VerifyFinding struct {
	Kind      string `json:"kind"`           // "block", "index", "frame", ...: see docs/guide/verify.md
	Where     Name   `json:"where"`          // a file and an offset, a key, a path
	What      string `json:"what,omitempty"` // what is wrong
	Note      bool   `json:"note,omitempty"` // worth knowing, and no damage
	Reparable bool   `json:"reparable"`
	By        string `json:"by,omitempty"`   // what mends it: "rebuild" (what is here says how it was) or "copy" (--from DIR)
	Done      string `json:"done,omitempty"` // what was done about it
}
