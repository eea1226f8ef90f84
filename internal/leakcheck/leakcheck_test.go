package leakcheck

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/multiformats/go-multibase"
)

func random(seed uint64, n int) []byte {
	src := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(src.Uint32())
	}
	return b
}

// embed puts s between others, so that no encoding of the whole has the one of s at its usual place.
func embed(before int, s []byte) []byte {
	return append(append(random(99, before), s...), random(98, 7)...)
}

func TestFindsEveryForm(t *testing.T) {
	for seed := range uint64(20) {
		s := random(seed, []int{MinSecret, 16, 32, 33, 64}[seed%5])
		asNumbers := make([]int, len(s))
		for i, c := range s {
			asNumbers[i] = int(c)
		}
		numbers, err := json.Marshal(asNumbers)
		if err != nil {
			t.Fatal(err)
		}
		b58, err := multibase.Encode(multibase.Base58BTC, s)
		if err != nil {
			t.Fatal(err)
		}
		forms := map[string]string{
			"raw": string(s), "%q": fmt.Sprintf("%q", s), "%x": fmt.Sprintf("%x", s), "%X": fmt.Sprintf("%X", s),
			"% x": fmt.Sprintf("% x", s), "% X": fmt.Sprintf("% X", s), "%v": fmt.Sprint(s), "%#v": fmt.Sprintf("%#v", s),
			"json": string(numbers), "base58": b58,
		}
		for before := range 7 {
			e := embed(before, s)
			forms[fmt.Sprint("base64 ", before)] = base64.StdEncoding.EncodeToString(e)
			forms[fmt.Sprint("base64url ", before)] = base64.URLEncoding.EncodeToString(e)
			forms[fmt.Sprint("base32 ", before)] = base32.StdEncoding.EncodeToString(e)
			forms[fmt.Sprint("base32hex ", before)] = base32.HexEncoding.EncodeToString(e)
			forms[fmt.Sprint("lower base32 ", before)] = strings.ToLower(base32.StdEncoding.EncodeToString(e))
			forms[fmt.Sprint("hex ", before)] = fmt.Sprintf("%x", e)
		}
		for form, text := range forms {
			for _, hay := range []string{text, "before " + text, text + " after", strings.Repeat("x", 1000) + text + "\n"} {
				err := Find([]byte(hay), random(1000, 32), s)
				if err == nil || !strings.Contains(err.Error(), "secret 1 ") {
					t.Errorf("seed %d, %s: %v", seed, form, err)
				}
			}
			if err := Find([]byte(text), random(1000+seed, len(s))); err != nil && len(s) > MinSecret {
				t.Errorf("seed %d, %s: found what is not there: %v", seed, form, err)
			}
		}
	}
}

func TestErrorDoesNotLeak(t *testing.T) {
	s := random(1, 32)
	err := Find(s, s)
	if err == nil {
		t.Fatal("not found")
	}
	if Find([]byte(err.Error()), s) != nil {
		t.Error("the error holds the secret")
	}
}

func TestShortSecretIsRefused(t *testing.T) {
	if Find(nil, make([]byte, MinSecret-1)) == nil {
		t.Error("a search that can't be was said to be clean")
	}
}

func TestCutAndAlmost(t *testing.T) {
	s := random(1, 32)
	if err := Find(s[:31], s); err != nil {
		t.Errorf("31 of 32 bytes: %v", err)
	}
	almost := bytes.Clone(s)
	almost[31] ^= 1
	if err := Find(append(almost, s[:31]...), s); err != nil {
		t.Errorf("another last bit: %v", err)
	}
}

// All forms keep the least length that the sieve needs.
func TestFormsAreLongEnough(t *testing.T) {
	for seed := range uint64(1000) {
		for _, p := range patterns(0, random(seed, MinSecret)) {
			if len(p.text) < prefix {
				t.Fatalf("seed %d: %s has %d characters", seed, p.form, len(p.text))
			}
		}
	}
	for _, p := range patterns(0, make([]byte, MinSecret)) {
		if len(p.text) < prefix {
			t.Fatalf("zeros: %s has %d characters", p.form, len(p.text))
		}
	}
}

func BenchmarkFind(b *testing.B) {
	hay := random(1, 16<<20)
	for _, n := range []int{1, 10, 1000} {
		var secrets [][]byte
		for i := range n {
			secrets = append(secrets, random(uint64(100+i), 32))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(hay)))
			for b.Loop() {
				if err := Find(hay, secrets...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
