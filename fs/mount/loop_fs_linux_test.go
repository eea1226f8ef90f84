package mount

import (
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// memFS is a flat directory in memory, on which some names behave badly:
//
//	block-*   READ waits until it is interrupted or the file "open-gate" is made; it says MayBlock first
//	stuck-*   the same, but without saying MayBlock
//	deaf-*    FSYNC waits until that file is made, and does not heed an interrupt
//	panic     LOOKUP panics
type memFS struct {
	fuse.RawFileSystem
	mayBlock func(*fuse.InHeader)
	changed  func(id uint64, name string) // called by CREATE, WRITE and UNLINK

	requests atomic.Int64
	getattrs atomic.Int64
	waiting  atomic.Int64
	gate     chan struct{}
	entryTTL uint64
	attrTTL  uint64

	mu    sync.Mutex
	names map[string]uint64
	nodes map[uint64]*memNode
	next  uint64
}

type memNode struct {
	name string
	data []byte
	mode uint32
}

func newMemFS() *memFS {
	return &memFS{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		mayBlock:      func(*fuse.InHeader) {}, changed: func(uint64, string) {},
		gate: make(chan struct{}), next: 2,
		names: map[string]uint64{}, nodes: map[uint64]*memNode{1: {mode: syscall.S_IFDIR | 0o777}},
	}
}

func (m *memFS) attr(id uint64, n *memNode, a *fuse.Attr) {
	*a = fuse.Attr{Ino: id, Size: uint64(len(n.data)), Mode: n.mode, Nlink: 1}
	a.Mtime = uint64(len(n.data)) // so that the kernel drops its pages when the file has changed
}

func (m *memFS) entry(id uint64, n *memNode, out *fuse.EntryOut) fuse.Status {
	out.NodeId, out.EntryValid, out.AttrValid = id, m.entryTTL, m.attrTTL
	m.attr(id, n, &out.Attr)
	return fuse.OK
}

func (m *memFS) Lookup(_ <-chan struct{}, _ *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	m.requests.Add(1)
	if name == "panic" {
		panic("as the test asked")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id, ok := m.names[name]
	if !ok {
		return fuse.ENOENT
	}
	return m.entry(id, m.nodes[id], out)
}

func (m *memFS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	m.requests.Add(1)
	m.getattrs.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[in.NodeId]
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	out.AttrValid = m.attrTTL
	m.attr(in.NodeId, n, &out.Attr)
	return fuse.OK
}

func (m *memFS) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[in.NodeId]
	if size, ok := in.GetSize(); ok {
		n.data = append(n.data[:min(uint64(len(n.data)), size)], make([]byte, size-min(uint64(len(n.data)), size))...)
	}
	m.attr(in.NodeId, n, &out.Attr)
	return fuse.OK
}

func (m *memFS) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	if name == "open-gate" {
		close(m.gate)
	}
	id := m.next
	m.next++
	n := &memNode{name: name, mode: syscall.S_IFREG | in.Mode&0o7777}
	m.names[name], m.nodes[id] = id, n
	m.changed(id, name)
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return m.entry(id, n, &out.EntryOut)
}

func (m *memFS) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	if in.Flags&syscall.O_TRUNC != 0 {
		m.nodes[in.NodeId].data = nil
	}
	if n := m.nodes[in.NodeId]; strings.HasPrefix(n.name, "block-") || strings.HasPrefix(n.name, "stuck-") {
		out.OpenFlags = fuse.FOPEN_DIRECT_IO
	} else {
		out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	}
	return fuse.OK
}

func (m *memFS) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.ENOSYS }

func (m *memFS) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	m.mu.Lock()
	n := m.nodes[in.NodeId]
	if strings.HasPrefix(n.name, "block-") || strings.HasPrefix(n.name, "stuck-") {
		m.mu.Unlock()
		if strings.HasPrefix(n.name, "block-") {
			m.mayBlock(&in.InHeader)
		}
		m.waiting.Add(1)
		defer m.waiting.Add(-1)
		select {
		case <-cancel:
			return nil, fuse.EINTR
		case <-m.gate:
			return fuse.ReadResultData(buf[:copy(buf, "open")]), fuse.OK
		}
	}
	defer m.mu.Unlock()
	if in.Offset >= uint64(len(n.data)) {
		return fuse.ReadResultData(nil), fuse.OK
	}
	return fuse.ReadResultData(buf[:copy(buf, n.data[in.Offset:])]), fuse.OK
}

func (m *memFS) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, end := m.nodes[in.NodeId], int(in.Offset)+len(data)
	if len(n.data) < end {
		n.data = append(n.data, make([]byte, end-len(n.data))...)
	}
	copy(n.data[in.Offset:], data)
	m.changed(in.NodeId, n.name)
	return uint32(len(data)), fuse.OK
}

func (m *memFS) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	m.mu.Lock()
	deaf := strings.HasPrefix(m.nodes[in.NodeId].name, "deaf-")
	m.mu.Unlock()
	if deaf {
		m.mayBlock(&in.InHeader)
		m.waiting.Add(1)
		defer m.waiting.Add(-1)
		<-m.gate
	}
	return fuse.OK
}

func (m *memFS) Unlink(_ <-chan struct{}, _ *fuse.InHeader, name string) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.names[name]; !ok {
		return fuse.ENOENT
	}
	m.changed(m.names[name], name)
	delete(m.names, name) // the node stays for who has it open
	return fuse.OK
}

func (m *memFS) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := max(in.Offset+1, 2); id < m.next; id++ {
		n := m.nodes[id]
		if n == nil || m.names[n.name] != id {
			continue
		}
		e := out.AddDirLookupEntry(fuse.DirEntry{Name: n.name, Ino: id, Mode: n.mode, Off: id})
		if e == nil {
			break
		}
		m.entry(id, n, e)
	}
	return fuse.OK
}

func (m *memFS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Bsize, out.NameLen = 4096, 255
	return fuse.OK
}
