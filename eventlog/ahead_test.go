package eventlog

import (
	"bytes"
	"testing"
)

// What was read ahead is known, absent keys too; and nothing is known that the database does not say, also while it changes.
func TestAhead(t *testing.T) {
	a := memReplica(t, newVolume(t, 1), 0, nil)
	var keys [][]byte
	for i := range 256 {
		if keys = append(keys, registerKey(byte(i))); i%3 > 0 {
			a.append(t, event(opSet, byte(i), 'v', byte(i)))
		}
	}
	ahead := func(all bool) {
		a.cache.drop(keys)
		if err := a.Ahead(keys); err != nil {
			t.Error(err)
		}
		err := a.View(func(Reader) {
			now := newDBState(current{a.store}, a.ks.kind(kindState))
			err := now.getAll(keys, func(i int, val []byte, ok bool) {
				is, known := a.cache.get(keys[i])
				if known && (is.ok != ok || !bytes.Equal(is.val, val)) || all && !known {
					t.Errorf("key %x: %x, %t, is known as %x, %t", keys[i], val, ok, is.val, is.ok)
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
	ahead(true)

	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				ahead(false)
			}
		}
	}()
	for n := range 1000 {
		a.append(t, event(opSet, byte(251+n%5), byte(n>>8), byte(n))) // which are read last
	}
	close(done)
	<-ended
}
