package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rhizome-fs/rhizome/internal/control"
)

// home returns the store's directory: absolute, and not necessarily there.
func (a *app) home() (string, error) {
	for _, dir := range []string{a.homeFlag, a.getenv("RHIZOME_HOME")} {
		if dir != "" {
			return filepath.Abs(dir)
		}
	}
	return a.defaultHome()
}

func (a *app) defaultHome() (string, error) {
	return a.userDir("XDG_DATA_HOME", ".local/share", "rhizome")
}

// mountDir returns the mount's directory, absolute: the argument, or ~/Rhizome.
func (a *app) mountDir(args []string) (string, error) {
	if len(args) > 0 {
		return filepath.Abs(args[0])
	}
	return a.underHome("Rhizome")
}

// logFile returns the daemon's log. Daemons of several homes don't share one.
func (a *app) logFile(home string) (string, error) {
	name := "rhizome.log"
	if def, err := a.defaultHome(); err != nil || home != def {
		sum := sha256.Sum256([]byte(home))
		name = "rhizome-" + hex.EncodeToString(sum[:4]) + ".log"
	}
	return a.userDir("XDG_STATE_HOME", ".local/state", "rhizome", name)
}

// userDir returns elem below the directory that the variable names, or below ~/fallback. As the XDG
// specification says, a relative path in the variable is ignored.
func (a *app) userDir(variable, fallback string, elem ...string) (string, error) {
	if dir := a.getenv(variable); filepath.IsAbs(dir) {
		return filepath.Join(append([]string{dir}, elem...)...), nil
	}
	return a.underHome(append([]string{fallback}, elem...)...)
}

func (a *app) underHome(elem ...string) (string, error) {
	dir := a.getenv("HOME")
	if !filepath.IsAbs(dir) {
		return "", control.Fail(control.Usage, errors.New("$HOME is not set"), "set it, or name the directories: --home DIR, and DIR for the mount")
	}
	return filepath.Join(append([]string{dir}, elem...)...), nil
}

// command returns a command line for the user to type: with --home if this one had it.
func (a *app) command(words ...string) string {
	if a.homeFlag != "" {
		if home, err := a.home(); err == nil {
			words = append(words, "--home", home)
		}
	}
	for i, w := range words {
		words[i] = shellQuote(w)
	}
	return shellQuote(cmp.Or(a.self, "rhizome")) + " " + strings.Join(words, " ")
}

// callable is what a person types to run this program again: its name if the shell finds it, else the path that it was
// called by.
func callable(arg0 string) string {
	name := filepath.Base(arg0)
	found, err := exec.LookPath(name)
	if err != nil {
		return arg0
	}
	a, errA := os.Stat(found)
	b, errB := os.Stat("/proc/self/exe")
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		return arg0
	}
	return name
}

func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./~=,:@+", r)
	}
	if s != "" && strings.TrimLeftFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// resolve returns path absolute and, as far as it can be followed, without symbolic links: so the daemon
// can tell whether it is in its mount.
func resolve(path string) (control.Name, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	gone := "" // what is not there any more, or can't be followed
	for dir := abs; ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return control.Name(filepath.Join(real, gone)), nil
		}
		if dir == filepath.Dir(dir) {
			return control.Name(abs), nil
		}
		gone = filepath.Join(filepath.Base(dir), gone)
	}
}
