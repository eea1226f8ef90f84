package backup

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

// An Item is what a log pack holds one behind the other: a frame, its place in the order, or both.
type Item struct {
	Volume identity.VolumeID
	Index  eventlog.Index     // 0: the frame has no place yet
	Hash   eventlog.FrameHash // of the frame
	Frame  []byte             // nil: it stands in an earlier item
}

// itemRecord is an item as it is stored, behind its length.
type itemRecord struct {
	_      struct{} `cbor:",toarray"`
	Volume identity.VolumeID
	Index  eventlog.Index
	Hash   eventlog.FrameHash
	Frame  []byte
}

// maxItem bounds an item's record.
const maxItem = eventlog.MaxFrame + 1024

func appendItem(dst []byte, i Item) []byte {
	rec := dagcbor.Encode(itemRecord{Volume: i.Volume, Index: i.Index, Hash: i.Hash, Frame: i.Frame})
	return append(binary.AppendUvarint(dst, uint64(len(rec))), rec...)
}

// readItems calls fn for each item of a log pack. Its own errors are ErrDamaged.
func readItems(r io.Reader, fn func(Item) error) error {
	in := bufio.NewReaderSize(r, bufferSize)
	for {
		i, err := readItem(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(i); err != nil {
			return err
		}
	}
}

// readItem returns io.EOF where an item would begin and the pack ends.
func readItem(in *bufio.Reader) (Item, error) {
	if _, err := in.Peek(1); errors.Is(err, io.EOF) {
		return Item{}, io.EOF
	}
	n, err := binary.ReadUvarint(in)
	if err != nil || n > maxItem {
		return Item{}, fmt.Errorf("%w: an item has no length", ErrDamaged)
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(in, raw); err != nil {
		return Item{}, fmt.Errorf("%w: an item is cut short", ErrDamaged)
	}
	var rec itemRecord
	if err := dagcbor.Decode(raw, &rec); err != nil {
		return Item{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	i := Item{Volume: rec.Volume, Index: rec.Index, Hash: rec.Hash, Frame: rec.Frame}
	if len(i.Frame) == 0 {
		if i.Frame = nil; i.Index == 0 {
			return Item{}, fmt.Errorf("%w: an item holds nothing", ErrDamaged)
		}
		return i, nil
	}
	f, err := eventlog.ParseFrame(i.Frame)
	if err != nil || f.Hash != i.Hash || f.Volume != i.Volume {
		return Item{}, fmt.Errorf("%w: a frame is not the one that it should be", ErrDamaged)
	}
	return i, nil
}
