package eventlog

import (
	"fmt"
	"testing"
)

// However many keys change, the cache says of none what was behind it before.
func TestCacheDropsWhatChanged(t *testing.T) {
	for _, n := range []int{10, 2 * dropAll} {
		c := newStateCache()
		var changed [][]byte
		for i := range n {
			key := fmt.Appendf(nil, "d%05d", i)
			c.put(key, []byte("before"), true)
			changed = append(changed, key)
		}
		c.begin([]byte("e"))
		changed = append(changed, []byte("e1"))
		c.drop(changed)
		for _, key := range changed {
			if v, known := c.get(key); known {
				t.Fatalf("of %d keys, %s is still known as %q", n, key, v.val)
			}
		}
		if _, known := c.get([]byte("e2")); !known {
			t.Error("that another key is absent was forgotten")
		}
	}
}
