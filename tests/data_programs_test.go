package tests

import (
	"bytes"
	bin "encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// sparse has programs that know of holes copy a file of 1 TiB, of which next to nothing is written.
func (r *rig) sparse() string {
	r.sh(r.me("sparse"), `
		truncate -s 1T big && printf needle | dd of=big bs=1 seek=600G conv=notrunc status=none && echo end >>big
		cp big cp && cp --sparse=always --reflink=never cp always
		tar -cSf big.tar big && mkdir tar && tar -xSf big.tar -C tar
		truncate -s 20M some && echo x >>some && fallocate -l 1M -o 10M some && fallocate -p -o 100 -l 1000000 some
		mkdir to && rsync -S some to/ && cmp some to/some
		for f in cp always tar/big; do
			test $(stat -c %s $f) = $(stat -c %s big) && test $(stat -c %b $f) -lt 10000
			test "$(dd if=$f bs=1 skip=600G count=6 status=none)" = needle && test "$(tail -c 4 $f)" = end
		done
		test $(du -k big.tar | cut -f 1) -lt 1000 && test $(du -k to/some | cut -f 1) -lt 5000`)
	return `cd "$M/sparse" && for f in big cp always tar/big; do test "$(dd if=$f bs=1 skip=600G count=6 status=none)" = needle; done
		cmp some to/some && test $(stat -c %b big) -lt 10000`
}

// fio writes by AIO, io_uring, mappings and plain calls, past the page cache and through it, and reads back what it wrote.
func (r *rig) fio() string {
	r.sh(r.me("fio"), `
		job() { name=$1; shift; fio --minimal --name=$name --filename=$name --size=2m --verify=crc32c --verify_fatal=1 "$@" >out 2>&1 || { cat out; exit 1; }; }
		job aio --ioengine=libaio --iodepth=16 --direct=1 --rw=randwrite --bs=4k
		job both --ioengine=libaio --iodepth=8 --direct=1 --rw=randrw --bs=512-16k --bs_unaligned
		job mapped --ioengine=mmap --rw=randwrite --bs=4k
		job plain --ioengine=psync --rw=randwrite --bs=1k-9k --bs_unaligned --fsync=100`)
	return `cd "$M/fio" && for f in aio both mapped plain; do test $(stat -c %s $f) = 2097152; done
		fio --minimal --name=aio --filename=aio --size=2m --rw=randwrite --bs=4k --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 --verify_only >/dev/null`
}

// Records that are appended at the same time through several handles, past the page cache too, lie in the file one behind the
// other, each whole, those of one handle in their order.
func TestAppendTogether(t *testing.T) {
	t.Parallel()
	r := newRig(t).start()
	const writers, records = 6, 150
	path := r.me("log")
	errs := make(chan error, writers)
	for w := range writers {
		flags := unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_CLOEXEC
		if w == 0 {
			flags |= unix.O_DIRECT
		}
		go func() { errs <- appendRecords(path, flags, byte(w), records) }()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var next [writers]uint32
	for at := 0; at < len(all); {
		head := all[at:]
		if len(head) < 13 || len(head) < 13+int(bin.LittleEndian.Uint32(head[5:])) || int(head[0]) >= writers {
			t.Fatalf("a torn record at %d of %d", at, len(all))
		}
		w, n, size := head[0], bin.LittleEndian.Uint32(head[1:]), int(bin.LittleEndian.Uint32(head[5:]))
		if n != next[w] || crc32.ChecksumIEEE(head[13:13+size]) != bin.LittleEndian.Uint32(head[9:]) {
			t.Fatalf("at %d record %d of writer %d, want %d; or it is torn", at, n, w, next[w])
		}
		next[w]++
		at += 13 + size
	}
	for w, n := range next {
		if n != records {
			t.Errorf("%d records of writer %d", n, w)
		}
	}
}

// appendRecords writes records of their writer, number, size and checksum.
func appendRecords(path string, flags int, writer byte, count int) error {
	fd, err := unix.Open(path, flags, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for i := range count {
		body := bytes.Repeat([]byte{writer, byte(i)}, (i*i*13+int(writer)*997)%9000)
		b := append([]byte{writer}, bin.LittleEndian.AppendUint32(nil, uint32(i))...)
		b = bin.LittleEndian.AppendUint32(b, uint32(len(body)))
		b = bin.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(body))
		if n, err := unix.Write(fd, append(b, body...)); err != nil || n != len(b)+len(body) {
			return fmt.Errorf("record %d of writer %d: %d bytes, %w", i, writer, n, err)
		}
	}
	return nil
}
