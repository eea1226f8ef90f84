// Package when reads the moments that people write on a command line and in the names below .at.
//
// A moment is written in one of these ways, and in no other:
//
//	2026-11-25                  the local midnight at which that day began
//	2026-11-25T10:30            local time, with seconds and a fraction of them or without; a space may stand for the T
//	2026-11-25T10:30:00Z        RFC 3339: with a zone it is the same moment everywhere
//	2026-11-25T10:30+01:00
//	30s 10m 2h 3d 1w 1d12h      that long ago: seconds, minutes, hours, days of 24 hours, weeks of seven such days
//	yesterday                   24 hours ago, the same as 1d
//	now
//
// Whether something is a moment does not depend on the clock, so that a snapshot can be given a name that is none.
// A local time that a change of the clocks skips or repeats is one of the two that it could be; a zone says which.
package when
