package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// accidents draws when what goes wrong.
func (w *world) accidents() {
	p := w.plan
	at := func(do func()) { w.after(w.between(0, p.length*9/10), do) }
	one := func() *replica { return w.replicas[w.rnd.IntN(len(w.replicas))] }
	for range p.parts {
		at(w.net.part)
	}
	for range p.cuts {
		at(func() { one().powerCut() })
	}
	for range p.kills {
		at(func() { one().kill() })
	}
	for range p.copies {
		at(func() { one().copyStore() })
	}
	for range p.restores {
		at(func() {
			r := one()
			b := r.backup()
			w.after(w.between(0, p.length-w.now), func() { r.restore(b) })
		})
	}
}

// image copies the disk as it is: what the kernel has, or only what is on the disk.
func (r *replica) image(synced bool) *vfs.MemFS {
	if synced {
		return r.disk.CrashClone(vfs.CrashCloneCfg{})
	}
	return r.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(0, 0))})
}

func (r *replica) startLater() {
	life := r.life
	r.w.after(r.w.between(100*time.Millisecond, 4*time.Second), func() {
		if r.life == life {
			r.start()
		}
	})
}

// powerCut loses everything that was not synced.
func (r *replica) powerCut() {
	if !r.up() || r.w.quiet {
		return
	}
	r.flushedOnlyWhenTold()
	r.w.tell("%s loses its power: %d closed versions and %d frames were not promised", r.name, len(r.volatile), len(r.fresh))
	disk := r.image(true)
	r.stop()
	r.disk = disk
	r.startLater()
}

// kill ends the program and nothing else: what it had done is there afterwards.
func (r *replica) kill() {
	if !r.up() || r.w.quiet {
		return
	}
	var disk *vfs.MemFS
	if r.w.chance(50) {
		r.w.tell("%s stops", r.name)
	} else {
		r.w.tell("%s is killed", r.name)
		disk = r.image(false)
	}
	fresh, volatile := r.fresh, r.volatile
	r.stop()
	if disk != nil {
		r.disk = disk
	}
	for _, h := range fresh {
		r.kept.frames[h] = true
	}
	for _, v := range volatile {
		v.due = true
	}
	r.startLater()
}

// copyStore starts another machine with a copy of the store, while the first goes on.
func (r *replica) copyStore() {
	if r.w.quiet {
		return
	}
	b := r.backup()
	r.w.copied = true
	twin := r.w.addReplica(r.name+"'", r.keyring, b.disk, b.kept)
	r.w.tell("%s is copied to %s", r.name, twin.name)
	twin.start()
}

// A backup is a copy of a store.
type backup struct {
	disk *vfs.MemFS
	kept kept
}

func (r *replica) backup() backup {
	b := backup{r.image(false), r.kept.clone()}
	for h := range r.known {
		b.kept.frames[h] = true
	}
	return b
}

// restore puts an old copy in the place of the store.
func (r *replica) restore(b backup) {
	if r.w.quiet {
		return
	}
	r.w.tell("%s is restored from a backup with %d frames", r.name, len(b.kept.frames))
	r.w.copied = true
	if r.up() {
		r.stop()
	}
	r.disk, r.kept = b.disk.CrashClone(vfs.CrashCloneCfg{}), b.kept.clone()
	for _, v := range r.w.closed {
		v.away = v.away || v.by == r // until we know better
	}
	r.start()
	r.w.forget(r)
}

// forget drops the promises that a restored store broke: of versions that nobody has now.
func (w *world) forget(restored *replica) {
	for _, r := range w.replicas {
		if r.up() {
			r.flush()
		}
	}
	for _, v := range w.closed {
		if !v.due || v.lost {
			continue
		}
		if v.by == restored {
			v.away = !restored.holds(v)
		}
		v.lost = v.away && !slices.ContainsFunc(w.replicas, func(r *replica) bool { return r.up() && r.holds(v) })
	}
}

// holds reports whether a replica that runs has a version, and its bytes.
func (r *replica) holds(v *closed) bool {
	_, err := r.read(v.id)
	return err == nil
}
