package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// An output is where a command prints, and how: stdout is data, either text for a person or JSON; stderr
// is for what is said about it, every line with the program's name in front.
type output struct {
	stdio
	json bool
}

// printf prints text to stdout.
func (o *output) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(o.out, format, args...)
}

// object prints v to stdout as one line of JSON.
func (o *output) object(v any) error {
	enc := json.NewEncoder(o.out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// table prints lines with cells between tabs, in columns.
func (o *output) table(fill func(row func(format string, args ...any))) {
	w := tabwriter.NewWriter(o.out, 0, 8, 2, ' ', 0)
	fill(func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) })
	_ = w.Flush()
}

// note tells the user something on stderr.
func (o *output) note(format string, args ...any) {
	_, _ = fmt.Fprintf(o.err, "rhizome: "+format+"\n", args...)
}

// fail tells an error in one line: what failed; what to do.
func (o *output) fail(err error) {
	msg := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	if hint := control.HintOf(err); hint != "" {
		msg += "; " + hint
	}
	o.note("%s", msg)
}

// list prints each of vs: as one line of JSON, or as a table by row.
func list[T any](o *output, vs []T, row func(T) string) error {
	if o.json {
		for _, v := range vs {
			if err := o.object(v); err != nil {
				return err
			}
		}
		return nil
	}
	o.table(func(line func(string, ...any)) {
		for _, v := range vs {
			line("%s", row(v))
		}
	})
	return nil
}

// size returns n bytes for a person: "0 B", "3.1 KiB".
func size(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, u := float64(n)/1024, 0
	for f >= 1023.95 && u < len(units)-1 {
		f, u = f/1024, u+1
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + " " + units[u:u+1] + "iB"
}

// plural returns "1 file" or "1,204 files".
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return control.Grouped(n) + " " + many
}
