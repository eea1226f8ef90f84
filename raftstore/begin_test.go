package raftstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rhizome-fs/rhizome/eventlog"
	"github.com/rhizome-fs/rhizome/identity"
	"github.com/rhizome-fs/rhizome/internal/store"
)

// An order that goes on behind a lost one gives indexes that the state has not seen, now and after restarts.
func TestBegin(t *testing.T) {
	for _, last := range []eventlog.Index{0, 1, 12_345} {
		t.Run(fmt.Sprint(last), func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			st, err := store.Open("home", store.Options{FS: fs, FlushEvery: -1})
			if err != nil {
				t.Fatal(err)
			}
			b := st.DB().NewBatch()
			val := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 5), uint64(last))
			if err := errors.Join(b.Set([]byte("x"), val, nil), st.Commit(b, store.Applied)); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"given up", "phoenix"} {
				if err := Begin(st, identity.IdentityID{7}, name, last); err != nil {
					t.Fatal(err)
				}
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			count := uint64(5)
			for run := range 3 {
				d := openAs(t, fs, "home", "another name")
				if d.seq.id != "phoenix" {
					t.Errorf("this voter is %q", d.seq.id)
				}
				e := fmt.Appendf(nil, "entry %d", run)
				if err := d.seq.Propose(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				count++
				if got := d.has(e); got != count || d.last <= last {
					t.Errorf("run %d: applied as number %d at %d", run, got, d.last)
				}
				if err := Begin(d.st, identity.IdentityID{7}, "late", last); !errors.Is(err, ErrBegun) {
					t.Errorf("an order with entries was begun again: %v", err)
				}
				d.close()
			}
		})
	}
}

// A checkpoint that can't be made at the moment is nothing to warn of: who asked for it is told.
func TestRefusedCheckpoint(t *testing.T) {
	st, err := store.Open("home", store.Options{FS: vfs.NewMem(), FlushEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var said strings.Builder
	notNow := errors.New("not now")
	s, err := Open(Options{
		Store: st, Identity: identity.IdentityID{7}, ServerID: "one",
		Apply:      func(eventlog.Index, []byte) error { return nil },
		Checkpoint: func() (Checkpoint, error) { return nil, notNow },
		Logger:     slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- s.Run(context.Background()) }()
	if err := s.Propose(t.Context(), []byte("entry")); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(); !errors.Is(err, notNow) {
		t.Errorf("the checkpoint was refused: %v", err)
	}
	if err := errors.Join(s.Close(), <-ran); err != nil {
		t.Error(err)
	}
	if said.Len() > 0 {
		t.Errorf("it was said: %s", said.String())
	}
}
