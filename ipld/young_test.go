package ipld

import (
	"encoding/binary"
	"testing"
)

// What an older hold put is remembered until a collection that began meanwhile ends, though the hold ends before it.
func TestCollectionKeepsWhatOlderHoldsPut(t *testing.T) {
	var y young
	cid := func(i int) (c CID) {
		binary.BigEndian.PutUint64(c[cidPrefixLen:], uint64(i))
		return c
	}
	sealing := y.begin()
	for i := range generationSize + 1 {
		y.add(cid(i))
	}
	other := y.begin() // the first generation is full: another one
	collection := y.beginOldest()
	y.end(sealing)
	if !y.has(cid(0)) {
		t.Error("forgotten while a collection runs")
	}
	y.end(collection)
	if y.has(cid(0)) {
		t.Error("remembered though nobody holds it")
	}
	y.end(other)
	if len(y.generations) != 0 {
		t.Errorf("%d generations are left", len(y.generations))
	}
}
