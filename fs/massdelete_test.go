package fs

import (
	"fmt"
	"testing"
	"time"
)

// noted does what runs in the background, and returns what there is to tell.
func (r *rig) noted() []MassDeletion {
	r.Helper()
	r.fs.counts.Wait()
	r.clock.forward(2 * quietAfter)
	for _, v := range r.fs.allVolumes() {
		r.must(v.noteSpree(r.clock.now().UnixNano()))
	}
	list, err := r.fs.MassDeletions()
	r.must(err)
	return list
}

// TestMassDeletion: more than a fifth of more than a hundred files, without a pause, is noted until it is undone; less is not.
func TestMassDeletion(t *testing.T) {
	r := newRig(t)
	fill := func(n int) {
		t.Helper()
		for i := range n {
			if _, err := r.lookup(r.vol, fmt.Sprint(i)); err != nil {
				r.put(r.vol, fmt.Sprint(i), []byte("some"))
			}
		}
		r.moment()
	}
	remove := func(from, to int, pause time.Duration) {
		t.Helper()
		for i := from; i < to; i++ {
			r.must(r.fs.Unlink(r.vol, fmt.Sprint(i)))
			r.clock.forward(pause)
			r.fs.counts.Wait()
		}
	}
	fill(100)
	remove(0, 60, 0)
	if list := r.noted(); len(list) > 0 {
		t.Fatalf("of no more than a hundred: %+v", list)
	}
	r.moment()
	fill(200)
	remove(0, 40, 0)
	if list := r.noted(); len(list) > 0 {
		t.Fatalf("no more than a fifth: %+v", list)
	}
	r.moment()
	fill(200)
	remove(0, 60, atOnce+time.Second)
	if list := r.noted(); len(list) > 0 {
		t.Fatalf("one by one: %+v", list)
	}
	r.moment()
	fill(200)
	want := r.tree(r.vol)
	remove(0, 41, time.Second)
	list := r.noted()
	if len(list) != 1 || list[0].Removed != 41 || list[0].Of != 200 || list[0].Path != "me/notes" || list[0].Ended.Sub(list[0].Began) < 40*time.Second {
		t.Fatalf("%+v", list)
	}
	r.reopen()
	again := r.noted()
	if len(again) != 1 || again[0] != list[0] {
		t.Fatalf("after a restart: %+v, want %+v", again, list)
	}
	r.undo("me/notes", list[0].Since, false)
	r.sameTree("undone", r.tree(r.vol), want)
	if list := r.noted(); len(list) > 0 {
		t.Fatalf("after an undo: %+v", list)
	}

	// A program makes files and removes them again, many times as many as there are.
	r.moment()
	remove(0, 1, 0)
	for i := range 300 {
		r.put(r.vol, "scratch", []byte("some"))
		r.clock.forward(time.Millisecond)
		if r.must(r.fs.Unlink(r.vol, "scratch")); i%100 == 0 {
			r.fs.counts.Wait()
		}
	}
	if list := r.noted(); len(list) > 0 {
		t.Fatalf("what was made since: %+v", list)
	}
	r.moment()
	r.put(r.vol, "0", []byte("some"))
	want = r.tree(r.vol)

	// All of the identity: the volume is gone, and its path still known.
	r.moment()
	r.wipe(r.home)
	if list = r.noted(); len(list) != 1 || list[0].Removed != 200 || list[0].Path != "me/notes" {
		t.Fatalf("%+v", list)
	}
	r.undo(list[0].Path, list[0].Since, false)
	r.sameTree("undone", r.tree(r.vol), want)
	if list := r.noted(); len(list) > 0 {
		t.Fatalf("after an undo: %+v", list)
	}
}
