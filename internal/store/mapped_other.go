//go:build !linux

package store

import "github.com/cockroachdb/pebble/v2/vfs"

func mapFile(vfs.FS, vfs.File, int64) []byte { return nil }
func unmapFile([]byte) error                 { return nil }
func copyMapped(mem, data []byte) error      { copy(mem, data); return nil }
