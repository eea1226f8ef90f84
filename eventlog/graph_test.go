package eventlog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/rhizome-fs/rhizome/identity"
)

// A table graph is written as frames "a1<b1,c1 ...": feed a's first frame, which builds on others. Depths follow.
type tableGraph struct {
	nodes map[string]*node
	names map[FrameHash]string
}

func parseGraph(t *testing.T, text string) *tableGraph {
	t.Helper()
	g := &tableGraph{map[string]*node{}, map[FrameHash]string{}}
	for _, f := range strings.Fields(text) {
		name, on, _ := strings.Cut(f, "<")
		h := Header{Version: frameVersion, Device: identity.DeviceID{name[0]}, Count: 1, Depth: 1}
		fmt.Sscanf(name[1:], "%d", &h.First)
		if prev := g.nodes[fmt.Sprintf("%c%d", name[0], h.First-1)]; prev != nil {
			h.Prev, h.Depth = prev.hash, prev.header.Depth+1
		}
		for _, b := range strings.FieldsFunc(on, func(r rune) bool { return r == ',' }) {
			n := g.nodes[b]
			if n == nil {
				t.Fatalf("%s builds on %s, which is not above it", name, b)
			}
			h.BuildsOn = append(h.BuildsOn, n.hash)
			h.Depth = max(h.Depth, n.header.Depth+1)
		}
		n := newNode(FrameHash{byte(len(g.nodes) + 1)}, h)
		n.feed = FeedID{name[0]} // so that the order is the alphabet's
		g.nodes[name], g.names[n.hash] = n, name
	}
	return g
}

// copyOf returns a node for another graph.
func (g *tableGraph) copyOf(name string) *node { n := *g.nodes[name]; return &n }

func (g *tableGraph) show(ns []*node) string {
	var names []string
	for _, n := range ns {
		names = append(names, g.names[n.hash])
	}
	return strings.Join(names, " ")
}

func nothingCommitted(FrameHash) (placement, bool, error) { return placement{}, false, nil }

func TestTentativeOrder(t *testing.T) {
	for _, c := range []struct{ name, frames, want string }{
		{"one feed", "a1 a2 a3", "a1 a2 a3"},
		{"feeds side by side", "b1 b2 a1 a2", "a1 b1 a2 b2"},
		{"builds on", "a1 b1<a1 a2 c1", "a1 c1 a2 b1"},
		{"deep after shallow", "b1 a1<b1 a2 b2", "b1 a1 b2 a2"},
		{"joins", "a1 b1 c1<a1,b1 a2<c1", "a1 b1 c1 a2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tg := parseGraph(t, c.frames)
			names := strings.Fields(c.want)
			for seed := range uint64(50) {
				g := newGraph(nothingCommitted)
				rng := rand.New(rand.NewPCG(seed, 0))
				order := slices.Clone(names)
				rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
				for _, name := range order {
					if _, err := g.add(tg.copyOf(name)); err != nil {
						t.Fatal(err)
					}
				}
				if got := tg.show(g.tentative); got != c.want {
					t.Fatalf("arrived as %v: %s, want %s", order, got, c.want)
				}
				if len(g.waiting) != 0 || len(g.waiters) != 0 {
					t.Fatalf("arrived as %v: still waiting: %v", order, g.waiters)
				}
			}
		})
	}
}

func TestCommitRule(t *testing.T) {
	for _, c := range []struct{ name, frames, commits, want, left string }{
		{"in order", "a1 a2", "a1 a2", "a1 a2", ""},
		{"early", "a1 a2", "a2 a1 a2", "a1 a2", ""},
		{"early and never again", "a1 a2", "a2 a1", "a1", "a2"},
		{"twice", "a1 b1", "a1 a1 b1", "a1 b1", ""},
		{"against the tentative order", "a1 b1", "b1", "b1", "a1"},
		{"builds on what is not committed", "a1 b1<a1", "b1 a1", "a1", "b1"},
		{"unknown", "a1", "z9 a1", "a1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tg := parseGraph(t, c.frames)
			g := newGraph(nothingCommitted)
			for _, name := range strings.Fields(c.frames) {
				name, _, _ = strings.Cut(name, "<")
				if _, err := g.add(tg.copyOf(name)); err != nil {
					t.Fatal(err)
				}
			}
			var done []*node
			for _, name := range strings.Fields(c.commits) {
				h := FrameHash{255}
				if n := tg.nodes[name]; n != nil {
					h = n.hash
				}
				n, err := g.commit(h)
				if err != nil {
					t.Fatal(err)
				}
				if n != nil {
					done = append(done, n)
				}
			}
			if got := tg.show(done); got != c.want {
				t.Errorf("committed %s, want %s", got, c.want)
			}
			if got := tg.show(g.tentative); got != c.left {
				t.Errorf("tentative %s, want %s", got, c.left)
			}
		})
	}
}

func TestFramesThatContradictWhatTheyNameAreForgotten(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(n *node)
	}{
		{"depth too great", func(n *node) { n.header.Depth++ }},
		{"depth too small", func(n *node) { n.header.Depth-- }},
		{"gap in the feed", func(n *node) { n.header.First++ }},
		{"other feed's frame as its previous one", func(n *node) { n.feed = FeedID{'z'} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			tg := parseGraph(t, "a1 a2")
			g := newGraph(nothingCommitted)
			bad := tg.copyOf("a2")
			c.spoil(bad)
			if as, _ := g.add(bad); !as[0].waits {
				t.Fatalf("%+v", as)
			}
			as, err := g.add(tg.copyOf("a1"))
			if err != nil || len(as) != 2 || as[0].invalid || !as[1].invalid {
				t.Fatalf("%+v %v", as, err)
			}
			if got := tg.show(g.tentative); got != "a1" {
				t.Errorf("tentative: %s", got)
			}
		})
	}
}

func TestHeadsAndNextFrame(t *testing.T) {
	tg := parseGraph(t, "a1 b1<a1 c1 a2 b2")
	g := newGraph(nothingCommitted)
	for _, name := range []string{"a1", "b1", "c1", "a2", "b2"} {
		if _, err := g.add(tg.copyOf(name)); err != nil {
			t.Fatal(err)
		}
	}
	feed := Feed{Device: identity.DeviceID{'a'}}
	var h Header
	if err := g.next(feed, &h); err != nil {
		t.Fatal(err)
	}
	on := []FrameHash{tg.nodes["c1"].hash, tg.nodes["b2"].hash}
	if h.First != 3 || h.Prev != tg.nodes["a2"].hash || h.Depth != 4 || !slices.Equal(h.BuildsOn, on) {
		t.Errorf("%+v", h)
	}
	other := tg.copyOf("a2")
	other.hash = FrameHash{99}
	if _, err := g.add(other); err != nil {
		t.Fatal(err)
	}
	if err := g.next(feed, &h); err != ErrForked {
		t.Errorf("next frame of a forked feed: %v", err)
	}
	if err := g.next(Feed{Device: identity.DeviceID{'z'}}, &h); err != nil || len(h.BuildsOn) != 4 || h.Depth != 4 {
		t.Errorf("a new feed builds on %d frames, depth %d, %v", len(h.BuildsOn), h.Depth, err)
	}
}
