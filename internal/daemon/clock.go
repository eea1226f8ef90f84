package daemon

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// coarseNow is the time that writes set. It is the kernel's coarse clock: with a finer one the kernel takes the time
// that a write set here for a change by somebody else, and throws away the pages just written.
func coarseNow() time.Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ts); err != nil {
		return time.Now()
	}
	return time.Unix(ts.Unix())
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
