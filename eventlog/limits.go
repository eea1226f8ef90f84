package eventlog

import "errors"

// Bounds on what is made and on what is taken.
const (
	MaxBody     = 4 << 20  // bytes of one event
	MaxPlain    = 16 << 20 // bytes of a frame's events, before compression
	MaxFrame    = 20 << 20 // bytes of a frame
	MaxEvents   = 1 << 14  // events in a frame
	MaxBuildsOn = 1 << 10  // frames of other feeds that a frame names
	MaxNeeds    = 1 << 16  // blocks that a frame names
)

// ErrTooBig says that an event or a frame is beyond these bounds.
var ErrTooBig = errors.New("too big")
