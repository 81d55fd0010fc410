// Package mutation plants bugs in a copy of the source, one at a time, and fails when the tests do not catch them: a suite that stays
// green over a skipped sync would prove nothing.
//
// Each bug is one replacement of a piece of source that stands there exactly once, and the tests that are to fail. All of them run with
// -mutations; without it, only the list itself is checked.
package mutation

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	all  = flag.Bool("mutations", false, "plant every bug and run the tests that are to catch it")
	only = flag.String("bug", "", "plant only the bug of this name")
)

// bug is a mistake that somebody could make.
type bug struct {
	name string
	file string
	old  string // stands in the file exactly once
	new  string
	pkg  string // whose tests are to catch it
	run  string // which of them
	long bool   // they are among those that -short leaves out
}

// detectMax is how long building and running the tests may take, and suiteMax the run alone. Tests that come to no end within that may only be
// slow: whoever hangs on a bug has to notice it by itself.
const (
	detectMax = 10 * time.Minute
	suiteMax  = 5 * time.Minute
)

func TestEveryPlantedBugFitsTheSource(t *testing.T) {
	if len(bugs) < 30 {
		t.Errorf("only %d bugs", len(bugs))
	}
	seen := map[string]bool{}
	for _, b := range bugs {
		source, err := os.ReadFile(filepath.Join("..", b.file))
		if err != nil {
			t.Errorf("%s: %v", b.name, err)
			continue
		}
		if n := strings.Count(string(source), b.old); n != 1 {
			t.Errorf("%s: %q stands %d times in %s", b.name, b.old, n, b.file)
		}
		if seen[b.name] {
			t.Errorf("%s twice", b.name)
		}
		seen[b.name] = true
	}
}

func TestEveryPlantedBugIsCaught(t *testing.T) {
	if !*all && *only == "" {
		t.Skip("plants bugs only with -mutations or -bug NAME")
	}
	for _, b := range bugs {
		if *only != "" && b.name != *only {
			continue
		}
		t.Run(b.name, func(t *testing.T) { plant(t, b) })
	}
}

// plant puts the bug into a copy of the source and runs the tests.
func plant(t *testing.T, b bug) {
	dir := t.TempDir()
	copySource(t, dir)
	path := filepath.Join(dir, b.file)
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(source), b.old, b.new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, dir, "go", "vet", "./"+filepath.Dir(b.file)); err != nil {
		t.Fatalf("the bug does not compile: %v\n%s", err, out)
	}
	started := time.Now()
	out, err := command(t, dir, "go", "test", fmt.Sprintf("-short=%t", !b.long), "-count=1", "-timeout", suiteMax.String(), "-run", b.run, "./"+b.pkg)
	if err == nil {
		t.Fatalf("nothing caught it in %v:\n%s", time.Since(started), out)
	}
	if bytes.Contains(out, []byte("panic: test timed out")) {
		t.Fatalf("the tests came to no end:\n%s", out)
	}
	if !bytes.Contains(out, []byte("--- FAIL")) && !bytes.Contains(out, []byte("panic:")) {
		t.Fatalf("the tests did not run: %v\n%s", err, out)
	}
	t.Logf("caught in %v", time.Since(started).Round(time.Millisecond))
}

func command(t *testing.T, dir, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(t.Context(), detectMax)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	return c.CombinedOutput()
}

// copySource copies the module without what git or tests keep in it.
func copySource(t *testing.T, to string) {
	t.Helper()
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, path), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		b, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, path), b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}
