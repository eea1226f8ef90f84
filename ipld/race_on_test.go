//go:build race

package ipld

// raced says that the race detector is on: what one goroutine does with many bytes takes ten times as long, and shows nothing new.
const raced = true
