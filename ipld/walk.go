package ipld

import "fmt"

// Children returns the CIDs that a block names in the clear, in order. It needs no key.
func Children(b Block) ([]CID, error) {
	if b.CID.Codec() == Raw {
		return nil, nil
	}
	children, _, err := parseEnvelope(b.Data)
	if err != nil {
		return nil, fmt.Errorf("list children of block %v: %w", b.CID, err)
	}
	return children, nil
}

// WalkClear calls fn for root and each block below it, once each, depth first, parents before their
// children and children in their order. It needs no key. It reads the nodes from st, and not the
// leaves: of a leaf it knows only that its parent names it.
func WalkClear(st Store, root CID, fn func(CID) error) error {
	seen := map[CID]struct{}{}
	stack := []CID{root}
	for len(stack) > 0 {
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if _, ok := seen[c]; ok {
			continue
		}
		seen[c] = struct{}{}
		if err := fn(c); err != nil {
			return err
		}
		if c.Codec() == Raw {
			continue
		}
		b, err := st.Get(c)
		if err != nil {
			return fmt.Errorf("walk: %w", err)
		}
		children, err := Children(b)
		if err != nil {
			return fmt.Errorf("walk: %w", err)
		}
		for i := len(children) - 1; i >= 0; i-- {
			stack = append(stack, children[i])
		}
	}
	return nil
}
