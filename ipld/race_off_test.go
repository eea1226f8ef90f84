//go:build !race

package ipld

const raced = false
