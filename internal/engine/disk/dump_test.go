package disk

import (
	"errors"
	"flag"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// dumped is what Dump prints, with the store's random identity replaced.
func dumped(t *testing.T, fs vfs.FS, name string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := Dump(&out, fs, name, func(b []byte) string { return string(b) })
	id := regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	return id.ReplaceAllString(out.String(), "00112233-4455-6677-8899-aabbccddeeff"), err
}

// sampleStore makes a small store in two epochs, cleanly closed.
func sampleStore(t *testing.T) Options {
	t.Helper()
	o, _ := clockedOptions()
	s := openStore(t, o)
	s.append(block(7, 3, []byte("three messages")), note("first note"))
	s.append(block(8, 1, []byte("one message")))
	s.close()
	s = openStore(t, o)
	s.eventually("the first epoch's segment has its footer", func(Stats) bool { return s.entriesInMemory() == 0 })
	s.shard.Trim(8, engine.Everything)
	s.append(note("second note"))
	s.close()
	return o
}

func TestDumpShowsEveryFile(t *testing.T) {
	o := sampleStore(t)
	got, err := dumped(t, o.FS, o.Dir)
	if err != nil {
		t.Error(err)
	}
	golden := filepath.Join("testdata", "dump.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("dumped:\n%s\nwant:\n%s", got, want)
	}
}

// TestDumpNamesDamage flips one bit at a time in everything that is not padding, and wants the dump to say so and to go on.
func TestDumpNamesDamage(t *testing.T) {
	o := sampleStore(t)
	mem := o.FS.(*vfs.Mem)
	names, err := mem.List(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		whole := path.Join(o.Dir, name)
		b, err := layout.ReadWhole(mem, whole)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(b); at += 41 {
			if b[at] == 0 {
				continue
			}
			left := mem.Snapshot()
			f, err := left.OpenWrite(whole, false)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte{b[at] ^ 4}, int64(at)); err != nil {
				t.Fatal(err)
			}
			text, err := dumped(t, left, o.Dir)
			var bad *FileError
			// Nothing tells a last commit that is damaged from one that was never finished.
			last := name == layout.SegmentName(4) && at >= 16384
			if !errors.As(err, &bad) && last {
				continue
			}
			if bad == nil || bad.Path != whole || !strings.Contains(text, "DAMAGED") {
				t.Errorf("%s, byte %d: %v", name, at, err)
			}
		}
	}
}

func TestDumpOfAForeignFileIsRefused(t *testing.T) {
	mem := vfs.NewMem()
	if err := layout.WriteFile(mem, "/", "README", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/README", "/nothing"} {
		if _, err := dumped(t, mem, name); err == nil {
			t.Errorf("%s was dumped", name)
		}
	}
}
