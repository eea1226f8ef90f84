package ipld

// Hold keeps from Collect every block that is put, or found to be there by Put, until release is
// called, even if nothing refers to it yet. Who stores content holds from before the first Put until
// what refers to the content is in the state that a collection marks. It may be called any number of
// times, from any goroutine; release is called once.
func (s *Segments) Hold() (release func()) { return s.hold((*young).begin) }

func (s *Segments) hold(begin func(*young) *generation) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := begin(&s.young)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.young.end(g)
	}
}

// generationSize is after how many blocks a new generation begins.
const generationSize = 1 << 16

// A young remembers the blocks that were added under a hold. A block joins the last generation, a hold
// the one that is last when it begins; so a generation may be forgotten when neither it nor one before
// it has a hold. Without holds nothing is remembered.
type young struct {
	generations []*generation
}

type generation struct {
	holds int
	cids  map[CID]struct{}
}

func (y *young) begin() *generation {
	if n := len(y.generations); n == 0 || len(y.generations[n-1].cids) >= generationSize {
		y.generations = append(y.generations, &generation{cids: map[CID]struct{}{}})
	}
	g := y.generations[len(y.generations)-1]
	g.holds++
	return g
}

// beginOldest begins a hold that keeps all that is remembered: a collection's. Blocks that an older hold put may come to be
// needed after the collection has looked at what is needed, and that hold may end before it.
func (y *young) beginOldest() *generation {
	if len(y.generations) == 0 {
		return y.begin()
	}
	g := y.generations[0]
	g.holds++
	return g
}

func (y *young) end(g *generation) {
	g.holds--
	for len(y.generations) > 0 && y.generations[0].holds == 0 {
		y.generations = y.generations[1:]
	}
}

func (y *young) add(c CID) {
	if n := len(y.generations); n > 0 {
		y.generations[n-1].cids[c] = struct{}{}
	}
}

func (y *young) has(c CID) bool {
	for _, g := range y.generations {
		if _, ok := g.cids[c]; ok {
			return true
		}
	}
	return false
}
