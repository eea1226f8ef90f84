//go:build !linux

package store

import "github.com/cockroachdb/pebble/v2/vfs"

// StartWriteback does nothing where the kernel can't be asked.
func StartWriteback(f vfs.File, from, size int64) {}
