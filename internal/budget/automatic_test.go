package budget

import (
	"math"
	"testing"
	"testing/fstest"
)

func TestAutomaticIsAQuarterOfWhatThereIs(t *testing.T) {
	const none, mib = math.MaxInt64, 1 << 20
	machine := func(kib string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("MemFree: 1 kB\nMemTotal:       " + kib + " kB\n")}
	}
	text := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }
	for name, c := range map[string]struct {
		told  int64
		files fstest.MapFS
		want  int
	}{
		"nothing is known":             {none, nil, 1024 * mib},
		"the runtime was told":         {448 * mib, fstest.MapFS{groupFile: text("100000000")}, 112 * mib},
		"a container":                  {none, fstest.MapFS{groupFile: text("536870912"), machineFile: machine("8388608")}, 128 * mib},
		"a container without a limit":  {none, fstest.MapFS{groupFile: text("max"), machineFile: machine("2097152")}, 512 * mib},
		"an older container":           {none, fstest.MapFS{olderGroupFile: text("1073741824"), machineFile: machine("8388608")}, 256 * mib},
		"an older one without a limit": {none, fstest.MapFS{olderGroupFile: text("9223372036854771712"), machineFile: machine("1048576")}, 256 * mib},
		"a small machine":              {none, fstest.MapFS{machineFile: machine("131072")}, 64 * mib},
		"a large machine":              {none, fstest.MapFS{machineFile: machine("268435456")}, 1024 * mib},
		"nonsense":                     {none, fstest.MapFS{groupFile: text("-1"), machineFile: machine("x")}, 1024 * mib},
	} {
		if got := automatic(c.told, c.files); got != c.want {
			t.Errorf("%s: %d MiB, want %d", name, got/mib, c.want/mib)
		}
	}
	if got := Automatic(); got < 64*mib || got > 1024*mib {
		t.Errorf("here: %d MiB", got/mib)
	}
}
