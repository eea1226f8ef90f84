package fs

import "testing"

func TestDeviceLocalNames(t *testing.T) {
	for _, c := range []struct {
		dir, name string
		want      bool
	}{
		{"notes", ".a.txt.swp", true},
		{"notes", ".swp", false},
		{"notes", "a.swp", false},
		{"notes", "4913", false}, // vim's probe is a file of one moment; one that stays is somebody's own
		{"notes", ".#a", true},
		{"notes", ".~lock.letter.odt#", true},
		{"notes", "~$letter.docx", true},
		{"notes", ".DS_Store", true},
		{"", ".Trash-1000", true},
		{".obsidian", "workspace.json", true},
		{".obsidian", "workspace-mobile.json", true},
		{".obsidian", "app.json", false},
		{"notes", "workspace.json", false},
		{"notes", ".git", false},
		{"notes", "", false},
	} {
		if got := isLocal([]byte(c.dir), []byte(c.name)); got != c.want {
			t.Errorf("isLocal(%q, %q) = %v, want %v", c.dir, c.name, got, c.want)
		}
	}
}
