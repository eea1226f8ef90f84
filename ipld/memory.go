package ipld

import (
	"bytes"
	"fmt"
	"sync"
)

// A Memory is a Store in memory, for tests and simulations.
type Memory struct {
	mu     sync.RWMutex
	blocks map[CID][]byte // GUARDED_BY(mu)
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{blocks: map[CID][]byte{}} }

// Get implements Store.
func (m *Memory) Get(c CID) (Block, error) {
	m.mu.RLock()
	data, ok := m.blocks[c]
	m.mu.RUnlock()
	if !ok {
		return Block{}, fmt.Errorf("get block %v: %w", c, ErrNotFound)
	}
	b := Block{c, bytes.Clone(data)}
	if err := b.Verify(); err != nil {
		return Block{}, err
	}
	return b, nil
}

// Put implements Store.
func (m *Memory) Put(blocks ...Block) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range blocks {
		if err := checkPut(b); err != nil {
			return err
		}
		if _, ok := m.blocks[b.CID]; !ok {
			m.blocks[b.CID] = append([]byte{}, b.Data...)
		}
	}
	return nil
}

// Has implements Store.
func (m *Memory) Has(c CID) (bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, ok := m.blocks[c]
	return ok, nil
}

// Keys calls fn for every block, in no order.
func (m *Memory) Keys(fn func(CID) error) error {
	m.mu.RLock()
	keys := make([]CID, 0, len(m.blocks))
	for c := range m.blocks {
		keys = append(keys, c)
	}
	m.mu.RUnlock()
	for _, c := range keys {
		if err := fn(c); err != nil {
			return err
		}
	}
	return nil
}

// Delete forgets a block, as a store does that lost it.
func (m *Memory) Delete(c CID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.blocks, c)
}

// checkPut refuses what no store takes.
func checkPut(b Block) error {
	if !b.CID.valid() {
		return fmt.Errorf("put block: %w", ErrNotCID)
	}
	if len(b.Data) > MaxBlock {
		return fmt.Errorf("put block %v: %d bytes are more than %d", b.CID, len(b.Data), MaxBlock)
	}
	return nil
}
