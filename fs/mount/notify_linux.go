package mount

import (
	"context"
	"encoding/binary"
	"log/slog"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// InvalInode makes the kernel forget the attributes of a node and its pages in [off, off+length); a length of 0 or
// less means to the end, an off below 0 no page at all.
//
// It returns at once and may be called from anywhere, as all notifications may: they are sent in order by a
// goroutine of their own, because sending one waits for locks that the kernel holds while handlers run.
func (c *Conn) InvalInode(node uint64, off, length int64) {
	c.notes.add(notification{bytes: inodeNote(node, off, length)})
}

func inodeNote(node uint64, off, length int64) []byte {
	b := note(fuse.NOTIFY_INVAL_INODE, 24)
	b = binary.NativeEndian.AppendUint64(b, node)
	b = binary.NativeEndian.AppendUint64(b, uint64(off))
	return binary.NativeEndian.AppendUint64(b, uint64(length))
}

// staleNow makes the kernel forget a node's attributes before it returns. It is for handlers, before they answer: what it takes in the
// kernel are no locks that the caller of a request holds, and the node stays alive, since the request is about it.
func (c *Conn) staleNow(node uint64) { c.notes.send(inodeNote(node, -1, 0)) }

// InvalEntry makes the kernel forget what a name in a directory stands for, and the directory's attributes and
// cached listing.
func (c *Conn) InvalEntry(parent uint64, name string) {
	b := note(fuse.NOTIFY_INVAL_ENTRY, 16+len(name)+1)
	b = binary.NativeEndian.AppendUint64(b, parent)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(name)))
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(append(b, name...), 0)
	c.notes.add(notification{bytes: b})
}

// Delete is InvalEntry for a name whose node, child, is gone: programs that watch the node see DELETE_SELF, and a
// program whose working directory it was sees it removed.
func (c *Conn) Delete(parent, child uint64, name string) {
	b := note(fuse.NOTIFY_DELETE, 24+len(name)+1)
	b = binary.NativeEndian.AppendUint64(b, parent)
	b = binary.NativeEndian.AppendUint64(b, child)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(name)))
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(append(b, name...), 0)
	c.notes.add(notification{bytes: b})
}

// Notified waits until the kernel has taken every notification made before the call, or the mount is gone. Never
// call it from a handler, or with a lock held that a handler takes.
func (c *Conn) Notified(ctx context.Context) error {
	sent := make(chan struct{})
	c.notes.add(notification{sent: sent})
	select {
	case <-sent:
		return nil
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note begins a notification: a reply to no request, with the kind in place of an error.
func note(kind, size int) []byte {
	b := make([]byte, 0, outHeaderSize+size)
	b = binary.NativeEndian.AppendUint32(b, uint32(outHeaderSize+size))
	b = binary.NativeEndian.AppendUint32(b, uint32(-kind))
	return binary.NativeEndian.AppendUint64(b, 0)
}

type notification struct {
	bytes []byte
	sent  chan struct{} // if not nil, only closed
}

// notifier sends notifications in order.
type notifier struct {
	fd   int
	log  *slog.Logger
	done chan struct{} // closed when run is over

	mu      sync.Mutex
	changed sync.Cond // on mu
	queue   []notification
	stopped bool
}

func newNotifier(fd int, log *slog.Logger) *notifier {
	n := &notifier{fd: fd, log: log, done: make(chan struct{})}
	n.changed.L = &n.mu
	return n
}

func (n *notifier) add(x notification) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		if x.sent != nil {
			close(x.sent)
		}
		return
	}
	n.queue = append(n.queue, x)
	n.changed.Signal()
}

// stop ends run, which drops what has not been sent: nobody is there to read it.
func (n *notifier) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
	n.changed.Signal()
}

func (n *notifier) run() {
	defer close(n.done)
	for {
		batch, more := n.take()
		for _, x := range batch {
			if x.sent != nil {
				close(x.sent)
			} else if more {
				n.send(x.bytes)
			}
		}
		if !more {
			return
		}
	}
}

func (n *notifier) take() (batch []notification, more bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.queue) == 0 && !n.stopped {
		n.changed.Wait()
	}
	batch, n.queue = n.queue, nil
	return batch, !n.stopped
}

func (n *notifier) send(b []byte) {
	err := ignoringEINTR(func() error {
		_, err := unix.Write(n.fd, b)
		return err
	})
	switch err {
	case nil, unix.ENOTDIR, unix.ENOENT, unix.ENOTEMPTY, unix.EBUSY, unix.ENODEV, unix.ENOTCONN:
		// The kernel knew nothing of it, or still uses what we call deleted and will ask.
	default:
		n.log.Warn("a notification did not reach the kernel", "err", err)
	}
}
