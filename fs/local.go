package fs

import (
	"path"
	"strings"
)

// Names that live in the mount and not in the log: what editors and desktops keep beside a file for
// this machine alone. A rule with a slash looks at the name of the directory too.
var localRules = [...]string{
	".obsidian/workspace*.json", // Obsidian's panes
	".*.sw[a-px]",               // vim
	".#*",                       // Emacs' locks
	".~lock.*#",                 // LibreOffice
	"~$*",                       // Microsoft Office
	".DS_Store", "._.DS_Store",  // macOS
	".Trash-*", // file managers' trash; all that is below it too
}

// localFirst holds the first bytes of all rules, so that nearly every name is decided at once.
const localFirst = ".~w"

// isLocal reports whether a name in a directory of that name is device-local.
func isLocal(dir, name []byte) bool {
	if !mayBeLocal(name) {
		return false
	}
	n := string(name)
	for _, rule := range localRules {
		if d, base, ok := strings.Cut(rule, "/"); ok {
			if d != string(dir) {
				continue
			}
			rule = base
		}
		if ok, err := path.Match(rule, n); err == nil && ok {
			return true
		}
	}
	return false
}

// mayBeLocal is the quick half of isLocal: false means no.
func mayBeLocal(name []byte) bool {
	return len(name) > 0 && strings.IndexByte(localFirst, name[0]) >= 0
}
