package mount

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// The kernel's table shows what was asked for.
func TestOptionsInMountTable(t *testing.T) {
	if os.Geteuid() != 0 {
		return // see TestOrdinaryUserOptions
	}
	for _, test := range []struct{ words, has, hasNot string }{
		{"", "rw,nosuid,nodev,relatime", "noexec,ro,suid,dev"},
		{"ro,noexec,noatime", "ro,nosuid,nodev,noexec,noatime", "rw,relatime"},
		{"suid,dev,strictatime,nodiratime", "rw,nodiratime", "nosuid,nodev,relatime,noatime"},
		{"nosymfollow", "nosymfollow", ""},
	} {
		c := serve(t, withEnv("_OPTIONS", test.words))
		wantOptions(t, c, test.has, test.hasNot)
	}
}

func wantOptions(t *testing.T, c *child, has, hasNot string) {
	t.Helper()
	m, ok, err := mountAt(c.dir)
	if err != nil || !ok {
		t.Fatalf("the mount is not in the table: %v", err)
	}
	if m.fsType != "fuse.rhizome" || m.source != "rhizome" {
		t.Errorf("the mount shows as %s of type %s", m.source, m.fsType)
	}
	options := strings.Split(m.options, ",")
	for _, word := range strings.Split(has, ",") {
		if word != "" && !slices.Contains(options, word) {
			t.Errorf("no %s in %s", word, m.options)
		}
	}
	for _, word := range strings.Split(hasNot, ",") {
		if slices.Contains(options, word) {
			t.Errorf("%s in %s", word, m.options)
		}
	}
}

// What only root may ask for is refused to others, not dropped.
func TestFusermountWords(t *testing.T) {
	for _, o := range []Options{{Suid: true}, {Dev: true}, {NoSymFollow: true}} {
		_, err := o.fusermountWords()
		var bad *OptionError
		if !errors.As(err, &bad) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	words, err := (&Options{FSName: `a,b\c`, ReadOnly: true}).fusermountWords()
	if err != nil || !strings.Contains(words, `,fsname=a\,b\\c,`) || !strings.HasSuffix(words, ",ro") {
		t.Errorf("words are %s, %v", words, err)
	}
}
