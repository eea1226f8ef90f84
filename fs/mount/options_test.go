package mount

import (
	"errors"
	"testing"
)

func TestParseOptions(t *testing.T) {
	for _, test := range []struct {
		words string
		want  Options
	}{
		{"", Options{}},
		{"defaults", Options{}},
		{"rw,nosuid,nodev,exec,atime,async", Options{}},
		{"ro", Options{ReadOnly: true}},
		{"ro,rw", Options{}},
		{"suid,dev,noexec", Options{Suid: true, Dev: true, NoExec: true}},
		{"noatime,nodiratime", Options{NoAtime: true, NoDirAtime: true}},
		{"noatime,strictatime", Options{StrictAtime: true}},
		{"strictatime,relatime", Options{RelAtime: true}},
		{"sync", Options{Sync: true}},
		{"ro,noexec,defaults,nosymfollow", Options{NoSymFollow: true}},
		{"allow_other, default_permissions", Options{AllowOther: true}},
		{"fsname=my notes", Options{FSName: "my notes"}},
		{"_netdev,noauto,user,x-systemd.automount,nofail,lazytime", Options{}},
	} {
		got, err := ParseOptions(test.words)
		if err != nil || got != test.want {
			t.Errorf("%q: got %+v, %v; want %+v", test.words, got, err, test.want)
		}
	}
	for _, words := range []string{"wibble", "ro,wobble=1", "remount", "bind", "allow_root", "auto_unmount", "fsname="} {
		_, err := ParseOptions(words)
		var bad *OptionError
		if !errors.As(err, &bad) || bad.Word == "" || bad.Why == "" {
			t.Errorf("%q: %v, want an *OptionError", words, err)
		}
	}
}
