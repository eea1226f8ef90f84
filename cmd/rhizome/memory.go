package main

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// hugeHeap is how much of the heap, from its beginning, is in huge pages: about what a busy mount uses, with the
	// database's tables in memory.
	hugeHeap = 128 << 20
	hugePage = 2 << 20
)

// tuneMemory sets up the heap for a daemon that makes much short-lived garbage, unless who started it says how.
func tuneMemory() {
	if os.Getenv("GOGC") != "" {
		return
	}
	limitGarbage()
	adviseHuge()
}

// adviseHuge has the kernel give the first part of the heap in huge pages. The first use of a page is a fault, which on a
// virtual machine costs as much as a system call or two, and each file that is made uses some eight new pages until the heap has
// its size: making files took half as long again. What is advised here is a block that is given back to the heap
// untouched; the heap is filled from its lowest address. Where the kernel has no huge pages nothing changes.
func adviseHuge() {
	b := make([]byte, hugeHeap+hugePage)
	first := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % hugePage
	_ = unix.Madvise(b[first:][:hugeHeap], unix.MADV_HUGEPAGE)
	b = nil
	runtime.GC()
}
