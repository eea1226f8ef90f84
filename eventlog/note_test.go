package eventlog

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// registersOf reads all registers. What Amend patches is no part of what notes tell.
func registersOf(r Reader) map[string]string {
	m := map[string]string{}
	r.Scan([]byte{'r'}, nil, func(k, v []byte) bool {
		m[string(k)] = string(v)
		return true
	})
	return m
}

// Whatever a log goes through between two pins, what is told to have changed includes all that did, and each pin says what it shows.
func TestChanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster(t, 2)
		defer func() { c.close() }()
		type pinned struct {
			mark  Mark
			state map[string]string
		}
		last := make([]pinned, len(c.replicas))
		for range rapid.IntRange(3, 15).Draw(t, "steps") {
			c.step()
			n := rapid.IntRange(0, len(c.replicas)-1).Draw(t, "whose")
			if rapid.IntRange(0, 5).Draw(t, "restart") == 0 {
				c.reopen(n)
			}
			r := c.replicas[n]
			if rapid.Bool().Draw(t, "pin") {
				continue
			}
			forget := rapid.Bool().Draw(t, "forget")
			var p pinned
			err := r.Pin(nil, func(pin *Pin) error {
				p = pinned{pin.Mark, registersOf(pin)}
				if s := r.Stats(); pin.Tentative != s.TentativeEvents+s.UnframedEvents || pin.Index != s.Index || pin.Moment != r.Now() {
					t.Fatalf("pin %+v of %+v", pin, s)
				}
				keys, known, err := pin.Changed(last[n].mark)
				if err != nil || known != (last[n].mark != Mark{}) {
					t.Fatalf("known %t, %v", known, err)
				}
				if !known {
					return nil
				}
				told := map[string]bool{}
				for _, k := range keys {
					told[string(k)] = true
				}
				was := last[n].state
				for k := range p.state {
					if was[k] != p.state[k] && !told[k] {
						t.Fatalf("register %x has changed, and nobody tells", k)
					}
				}
				for k := range was {
					if _, is := p.state[k]; !is && !told[k] {
						t.Fatalf("register %x has gone, and nobody tells", k)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			last[n] = p
			if forget {
				if err := r.ForgetNotes(p.mark); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// Who does not ask for notes has none, and neither has who has stopped; what is forgotten is not known.
func TestNotesOnDemand(t *testing.T) {
	v := newVolume(t, 1)
	r := memReplica(t, v, 0, nil)
	count := func() (n int) {
		if err := r.eachKey(kindNote, func(_, _ []byte) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := byte(0)
	write := func() {
		n++
		r.append(t, event(opSet, 1, n), event(opSet, 3, n))
		r.cut(t)
	}
	pin := func() (m Mark) {
		if err := r.Pin(nil, func(p *Pin) error { m = p.Mark; return nil }); err != nil {
			t.Fatal(err)
		}
		return m
	}
	write()
	if count() != 0 {
		t.Error("notes that nobody asked for")
	}
	first := pin()
	write()
	if count() != 1 {
		t.Errorf("%d notes of one frame", count())
	}
	second := pin()
	if err := r.ForgetNotes(second); err != nil || count() != 0 {
		t.Errorf("%d notes are left: %v", count(), err)
	}
	write()
	err := r.Pin(nil, func(p *Pin) error {
		if _, known, err := p.Changed(first); known || err != nil {
			t.Errorf("what is forgotten is known: %v", err)
		}
		keys, known, err := p.Changed(second)
		if !known || err != nil || len(keys) != 2 || !bytes.Equal(keys[0], registerKey(1)) {
			t.Errorf("changed %x, %t, %v", keys, known, err)
		}
		before := fmt.Sprint(registersOf(p))
		if write(); fmt.Sprint(registersOf(p)) != before {
			t.Error("a pin sees what changes")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.StopNotes(); err != nil || count() != 0 {
		t.Errorf("%d notes are left: %v", count(), err)
	}
	write()
	if count() != 0 {
		t.Error("notes that nobody asks for any more")
	}
	err = r.Pin(nil, func(p *Pin) error {
		if _, known, _ := p.Changed(second); known {
			t.Error("what was not noted is known")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Too many are dropped.
	for range 2 * maxNotes / (1 << 20) {
		r.notes.total += 1 << 20
		write()
	}
	if r.notes.on || count() != 0 {
		t.Errorf("%d notes of %d bytes", count(), r.notes.total-r.notes.base)
	}
}
