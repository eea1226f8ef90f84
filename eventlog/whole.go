package eventlog

// wholeKeys knows of some prefixes which keys there may be below them, so that it can say of all others that
// they are absent, without a look at the database: most lookups of a file system are for names that are not there.
// A set forgets nothing but as a whole: a key that was deleted, or one with the hash of another, is one that may be there.
//
// INVARIANT: every key of the state below a prefix that has a set has its hash in it.
type wholeKeys struct {
	prefixLen int // of all prefixes that have a set; 0: none has had one yet
	sets      map[string]map[uint64]struct{}
	order     []string // the prefixes, the one known longest first
	count     int      // of hashes in all sets, and setCost for each set
}

const (
	wholeLimit = 1 << 18 // of count; a hash costs about 16 bytes
	setCost    = 8       // what a set costs, in hashes
	learnLimit = 1 << 12 // keys below one prefix that are read to get to know it
)

func newWholeKeys() *wholeKeys { return &wholeKeys{sets: make(map[string]map[uint64]struct{})} }

// begin says that nothing stands below prefix. All prefixes are of one length.
func (w *wholeKeys) begin(prefix []byte) {
	if w.prefixLen == 0 {
		w.prefixLen = len(prefix)
	}
	if len(prefix) != w.prefixLen {
		panic("eventlog: prefixes of different lengths")
	}
	if w.knows(prefix) {
		return
	}
	p := string(prefix)
	w.sets[p] = make(map[uint64]struct{})
	w.order = append(w.order, p)
	w.count += setCost
	w.shrink()
}

func (w *wholeKeys) knows(prefix []byte) bool {
	_, ok := w.sets[string(prefix)]
	return ok
}

func (w *wholeKeys) setOf(key []byte) map[uint64]struct{} {
	if w.prefixLen == 0 || len(key) < w.prefixLen {
		return nil
	}
	return w.sets[string(key[:w.prefixLen])]
}

// add says that there may be something behind key from now on.
func (w *wholeKeys) add(key []byte) {
	set := w.setOf(key)
	if set == nil {
		return
	}
	before := len(set)
	set[keyHash(key)] = struct{}{}
	w.count += len(set) - before
	w.shrink()
}

func (w *wholeKeys) shrink() {
	for w.count > wholeLimit {
		p := w.order[0]
		w.count -= setCost + len(w.sets[p])
		delete(w.sets, p)
		w.order = w.order[1:]
	}
}

// absent reports whether it is known that nothing stands behind key.
func (w *wholeKeys) absent(key []byte) bool {
	set := w.setOf(key)
	if set == nil {
		return false
	}
	_, maybe := set[keyHash(key)]
	return !maybe
}
