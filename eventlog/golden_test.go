package eventlog

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rhizome-fs/rhizome/internal/dagcbor"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// golden compares got with a file of testdata that holds it as hexadecimal lines.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var b strings.Builder
	for text := hex.EncodeToString(got); ; text = text[64:] {
		if len(text) <= 64 {
			fmt.Fprintln(&b, text)
			break
		}
		fmt.Fprintln(&b, text[:64])
	}
	path := filepath.Join("testdata", name+".hex")
	if *rewrite {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s is now\n%s, was\n%s", name, b.String(), want)
	}
}

func readGolden(t testingTB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// goldenFrames returns two frames, of two devices: the second builds on the first, and is compressed.
func goldenFrames(t *testing.T) []*Frame {
	t.Helper()
	v := newVolume(t, 2)
	a, b := memReplica(t, v, 0, nil), memReplica(t, v, 1, nil)
	a.append(t, event(opSet, 1, 'a'), Event{Time: -5, Body: append([]byte{opBlock, 1}, make([]byte, 32)...)})
	fa := a.cut(t)
	b.receive(t, fa)
	for i := range byte(50) {
		b.append(t, event(opMix, i, 'b', 'b', 'b', 'b'))
	}
	return []*Frame{fa, b.cut(t)}
}

func TestGoldenFrames(t *testing.T) {
	r := memReplica(t, newVolume(t, 2), 0, nil)
	for i, f := range goldenFrames(t) {
		name := fmt.Sprintf("frame%d", i+1)
		golden(t, name, f.Raw)
		old, err := ParseFrame(readGolden(t, name))
		if err != nil || !old.Verify() {
			t.Fatalf("%s: %v", name, err)
		}
		golden(t, name+".header", old.header)
		es, err := r.openFrame(old)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".events", encodeEvents(es))
	}
}

func TestGoldenRecords(t *testing.T) {
	golden(t, "event", appendEventRecord(nil, Event{Time: 1 << 60, Body: []byte("body")}, true))
	u := undo{
		images: []image{{[]byte("key"), []byte("value"), true}, {[]byte("new"), nil, false}},
		reads:  []uint64{keyHash([]byte("read"))},
		scans:  []scanMark{{6, keyHash([]byte("prefix"))}},
	}
	golden(t, "undo", u.encode(nil))
	m := marks{Version: 1, Incarnation: 2, First: 3, Index: 4, Frames: 5, Events: 6, Plain: 7}
	golden(t, "marks", dagcbor.Encode(&m))
	golden(t, "meta", dagcbor.Encode(&frameMeta{First: 1, Count: 2, Depth: 3, Index: 4}))
	golden(t, "head", dagcbor.Encode(&headRecord{Incarnation: 1, Last: 2, Depth: 3, Named: true}))
	h := nextOrderHash([32]byte{}, 1, FrameHash{1})
	golden(t, "orderhash", h[:])
}

// What is encoded by hand is what package dagcbor encodes.
func TestRecordsAreCanonical(t *testing.T) {
	for _, name := range []string{"event", "undo"} {
		var v []dagcbor.Raw
		if err := dagcbor.Decode(readGolden(t, name), &v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
