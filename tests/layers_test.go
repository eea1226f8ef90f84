package tests

import (
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/rhizome-fs/rhizome/"

// edges says which of our packages each of them may import; nobody may import more. It is docs/ARCHITECTURE.md's picture
// in words. A new package begins with a line here.
var edges = map[string]string{
	"internal/leakcheck":  "",
	"internal/dagcbor":    "",
	"internal/report":     "",
	"internal/store":      "internal/report",
	"internal/control":    "",
	"internal/when":       "",
	"internal/compaction": "",

	"identity":       "internal/dagcbor internal/report",
	"ipld":           "internal/dagcbor internal/report internal/store",
	"ipld/ipfs":      "ipld",
	"ipld/storetest": "ipld",
	"ipld/unixfs":    "ipld",
	"ipld/table":     "ipld",

	"eventlog": "identity ipld ipld/table internal/dagcbor internal/report internal/store",

	"raftstore": "eventlog identity internal/dagcbor internal/report internal/store",
	"backup":    "eventlog identity ipld internal/dagcbor internal/store",
	"sync":      "eventlog identity ipld internal/dagcbor internal/store",
	"fs/tree":   "eventlog identity ipld internal/dagcbor internal/report",

	"fs/snapshot": "fs/tree eventlog identity ipld internal/dagcbor",

	"fs":        "fs/snapshot fs/tree eventlog identity ipld internal/dagcbor internal/report internal/store internal/when",
	"fs/export": "fs fs/snapshot fs/tree eventlog ipld ipld/unixfs",
	"fs/mount":  "fs internal/when",

	// The only wiring.
	"internal/daemon": "internal/compaction ipld/table internal/control fs/mount fs/export fs fs/snapshot fs/tree raftstore backup sync eventlog identity ipld internal/dagcbor internal/report internal/store internal/when",
	"cmd/rhizome":     "internal/daemon internal/control internal/when",

	// All but cmd; only tests import it.
	"internal/sim": "fs fs/snapshot fs/tree raftstore backup sync eventlog identity ipld internal/dagcbor internal/report internal/store internal/when",
	"tests":        "",
}

// testEdges is what the tests of a package may import beyond what the package may.
var testEdges = map[string]string{
	"*":           "internal/leakcheck internal/sim",
	"identity":    "internal/store",
	"ipld":        "ipld/storetest ipld/ipfs",
	"fs/snapshot": "ipld/ipfs",
	"fs/tree":     "internal/store",
	"fs/mount":    "fs/tree eventlog identity ipld internal/dagcbor internal/store",
	"cmd/rhizome": "",
	"tests":       "internal/daemon internal/control identity ipld eventlog internal/dagcbor internal/store",
}

// owners says which of our packages may import a library, by the beginning of its path; of several beginnings the longest counts.
// What is in nobody's line needs one: a library comes in through one door.
var owners = map[string]string{
	"github.com/hashicorp/":        "raftstore",
	"github.com/libp2p/":           "sync",
	"github.com/hanwen/go-fuse/v2": "fs/mount",

	// The types of IPLD, and what walks, packs and stores them.
	"github.com/ipfs/":                     "ipld ipld/ipfs ipld/unixfs",
	"github.com/ipld/":                     "ipld ipld/ipfs ipld/unixfs",
	"github.com/multiformats/go-multihash": "ipld ipld/ipfs",
	"github.com/multiformats/go-multibase": "identity internal/leakcheck",

	// Ciphers, signatures, and the keys for them.
	"crypto/aes":                      "ipld identity",
	"crypto/cipher":                   "ipld identity",
	"crypto/des":                      "",
	"crypto/dsa":                      "",
	"crypto/ecdh":                     "identity",
	"crypto/ecdsa":                    "",
	"crypto/ed25519":                  "identity",
	"crypto/elliptic":                 "identity",
	"crypto/hkdf":                     "ipld identity",
	"crypto/hpke":                     "identity",
	"crypto/mlkem":                    "identity",
	"crypto/pbkdf2":                   "identity",
	"crypto/rc4":                      "",
	"crypto/rsa":                      "",
	"crypto/tls":                      "sync",
	"filippo.io/":                     "identity",
	"golang.org/x/crypto":             "identity ipld",
	"github.com/tyler-smith/go-bip39": "identity",

	// The database, and its seam to the file system.
	"github.com/cockroachdb/pebble/v2":     "internal/store ipld eventlog raftstore fs internal/daemon",
	"github.com/cockroachdb/pebble/v2/vfs": "internal/store identity ipld eventlog raftstore backup fs internal/daemon internal/sim",

	"github.com/cespare/xxhash/v2":         "eventlog fs/tree",
	"github.com/fxamacker/cbor/v2":         "internal/dagcbor",
	"github.com/klauspost/compress":        "ipld eventlog",
	"github.com/PlakarKorp/":               "ipld",
	"github.com/rogpeppe/go-internal/diff": "internal/daemon",
	"github.com/schollz/progressbar/v3":    "cmd/rhizome",
	"github.com/spf13/cobra":               "cmd/rhizome",
	"golang.org/x/term":                    "cmd/rhizome",
	"gopkg.in/natefinch/lumberjack.v2":     "cmd/rhizome",
	"golang.org/x/sys":                     "fs/mount fs/export internal/store internal/control internal/daemon cmd/rhizome",
}

// testOwners is which tests may import a library beyond its owners.
var testOwners = map[string]string{
	"github.com/ipld/go-ipld-prime":        "internal/dagcbor fs/snapshot", // the reference to compare with
	"github.com/ipfs/":                     "fs/snapshot",                  // what walks blocks without keys
	"github.com/hanwen/go-fuse/v2/fuse":    "internal/daemon",              // requests that a kernel makes once in a while
	"github.com/klauspost/compress":        "fs",                           // to look into what may not be sealed
	"github.com/rogpeppe/go-internal":      "*",
	"go.uber.org/goleak":                   "*",
	"pgregory.net/rapid":                   "*",
	"github.com/cockroachdb/pebble/v2/vfs": "tests fs/tree", // package identity asks for it; a log to keep checkpoints in
	"golang.org/x/sys":                     "*",
	"github.com/anishathalye/porcupine":    "*",
	"github.com/creack/pty":                "cmd/rhizome", // a terminal to look at
}

// impure is what the reducer must not import: it is a pure function.
var impure = []string{"crypto/rand", "log", "math/rand", "net", "os", "sync", "syscall", "unsafe"}

// clocks is what it must not call: it gets the time in events.
var clocks = regexp.MustCompile(`\btime\.(Now|Since|Until|After|Tick|NewT|Local)`)

// names is what a package must be called where it is imported, by those who are or import the package of ours that
// would else be meant. "" for anybody.
var names = map[string]struct{ as, beside string }{
	"io/fs":                           {"iofs", "fs"},
	"github.com/hanwen/go-fuse/v2/fs": {"fusefs", ""},
	module + "sync":                   {"peersync", ""},
}

// TestLayers holds every file of the module, whatever system it is for, against the tables above.
func TestLayers(t *testing.T) {
	files, err := sources("..")
	if err != nil {
		t.Fatal(err)
	}
	beside := map[string]map[string]bool{} // package → the packages of ours that it is or imports
	for _, f := range files {
		if beside[f.pkg] == nil {
			beside[f.pkg] = map[string]bool{f.pkg: true}
		}
		for path := range f.imports {
			if own, ok := strings.CutPrefix(path, module); ok {
				beside[f.pkg][own] = true
			}
		}
	}
	for _, f := range files {
		if _, known := edges[f.pkg]; !known {
			t.Errorf("%s: package %s has no place in the layers", f.name, f.pkg)
			continue
		}
		if f.pkg == "fs/tree" && !f.test && clocks.Match(f.text) {
			t.Errorf("%s: the reducer looks at a clock", f.name)
		}
		for path, name := range f.imports {
			if why := f.forbids(path); why != "" {
				t.Errorf("%s: imports %s: %s", f.name, path, why)
			}
			if rule, ok := names[path]; ok && name != rule.as && (rule.beside == "" || beside[f.pkg][rule.beside]) {
				t.Errorf("%s: imports %s as %q, not as %s", f.name, path, name, rule.as)
			}
			if name == "." || name == "_" && f.pkg != "tests" {
				t.Errorf("%s: imports %s as %q", f.name, path, name)
			}
		}
	}
}

// A source is a file and what it imports, by path, under which name ("" for its own).
type source struct {
	name, pkg string
	test      bool
	text      []byte
	imports   map[string]string
}

func sources(root string) ([]source, error) {
	var all []source
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := e.Name(); e.IsDir() && path != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "scripts") {
			return fs.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		name, relErr := filepath.Rel(root, path)
		s := source{name: name, pkg: filepath.Dir(name), test: strings.HasSuffix(path, "_test.go"), text: text, imports: map[string]string{}}
		for _, spec := range parsed.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if relErr = errors.Join(relErr, err); spec.Name != nil {
				s.imports[path] = spec.Name.Name
			} else {
				s.imports[path] = ""
			}
		}
		all = append(all, s)
		return relErr
	})
	return all, err
}

// forbids says why f must not import path, or "".
func (f source) forbids(path string) string {
	if own, ok := strings.CutPrefix(path, module); ok {
		return f.forbidsOwn(own)
	}
	if f.pkg == "fs/tree" && !f.test && slices.ContainsFunc(impure, func(p string) bool { return within(path, p) }) {
		return "the reducer is pure"
	}
	if f.test && allows(longest(testOwners, path), f.pkg) {
		return ""
	}
	door, known := owners[beginning(owners, path)]
	switch {
	case known && allows(door, f.pkg):
		return ""
	case known:
		return "only for: " + door
	case strings.Contains(strings.SplitN(path, "/", 2)[0], "."):
		return "a library that no package is the door for"
	}
	return "" // the rest of the standard library
}

func (f source) forbidsOwn(own string) string {
	switch {
	case own == f.pkg, allows(edges[f.pkg], own):
		return ""
	case f.test && (allows(testEdges["*"], own) || allows(testEdges[f.pkg], own)):
		return ""
	}
	return "it may import of ours: " + edges[f.pkg]
}

func allows(list, pkg string) bool { return list == "*" || slices.Contains(strings.Fields(list), pkg) }

// beginning is the longest key that path begins with.
func beginning(table map[string]string, path string) string {
	best := ""
	for key := range table {
		if within(path, key) && len(key) > len(best) {
			best = key
		}
	}
	return best
}

func longest(table map[string]string, path string) string { return table[beginning(table, path)] }

func within(path, key string) bool {
	return path == key || strings.HasPrefix(path, strings.TrimSuffix(key, "/")+"/")
}
