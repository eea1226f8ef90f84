package daemon

import (
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A coarseClock shows the time that writes set. It is the kernel's coarse clock: with a finer one the kernel takes the time
// that a write set here for a change by somebody else, and throws away the pages just written. That clock moves once a tick
// and asking it is a system call, so that what it said is good for a part of one.
type coarseClock struct {
	mu    sync.Mutex
	asked time.Time // without the monotonic clock, which stands still while the machine sleeps
	said  time.Time
}

// coarseFor is less than any kernel's tick.
const coarseFor = time.Millisecond / 2

func (c *coarseClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now().Round(0)
	if since := now.Sub(c.asked); since >= 0 && since < coarseFor {
		return c.said
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ts); err != nil {
		return now
	}
	c.asked, c.said = now, time.Unix(ts.Unix())
	return c.said
}

// deviceName is what this device is called in conflict names and logs: the host's name up to its first dot.
func deviceName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "device"
	}
	name, _, _ = strings.Cut(name, ".")
	return name[:min(len(name), 32)]
}

// bootID names the machine's boot. Where it can't be told, every start counts as one.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return time.Now().String()
	}
	return strings.TrimSpace(string(id))
}
