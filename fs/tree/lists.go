package tree

import "slices"

// Lists of ids are short, and kept in the order in which they came.

func contains[T comparable](list []T, v T) bool { return slices.Contains(list, v) }

// within reports whether every element of a is in b.
func within[T comparable](a, b []T) bool {
	for _, v := range a {
		if !contains(b, v) {
			return false
		}
	}
	return true
}

// add appends v unless it is there.
func add[T comparable](list []T, v T) []T {
	if contains(list, v) {
		return list
	}
	return append(list, v)
}

func distinct[T comparable](list []T) bool {
	if len(list) < 16 {
		for i, v := range list {
			if contains(list[:i], v) {
				return false
			}
		}
		return true
	}
	seen := make(map[T]struct{}, len(list))
	for _, v := range list {
		seen[v] = struct{}{}
	}
	return len(seen) == len(list)
}
