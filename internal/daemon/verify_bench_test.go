package daemon

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// BenchmarkVerify verifies a store of many files, without and with -deep, and reports the most that the process has had resident: of interest if
// the store was made by an earlier run (-at).
func BenchmarkVerify(b *testing.B) {
	home := manyAt(b)
	defer debug.SetGCPercent(debug.SetGCPercent(50)) // as the command does
	for _, deep := range []bool{false, true} {
		b.Run(fmt.Sprintf("deep=%v", deep), func(b *testing.B) {
			start := time.Now()
			for b.Loop() {
				if rep, err := Verify(b.Context(), VerifyOptions{Home: home, Deep: deep}); err != nil || !rep.Clean {
					b.Fatal(err, damage(rep))
				}
			}
			b.ReportMetric(time.Since(start).Seconds()/float64(b.N), "s/store")
			b.ReportMetric(peak(b)/1e6, "peak-MB")
		})
	}
}

// peak is the most bytes that this process has had resident.
func peak(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	var kb float64
	if _, err := fmt.Sscan(line, &kb); err != nil {
		b.Fatal(err)
	}
	return kb * 1024
}
