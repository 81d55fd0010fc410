package host

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestStatWithAHostileNameGivesTheCPUTime(t *testing.T) {
	cpu, err := parseStat([]byte("42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 9 0\n"))
	if err != nil || cpu != 2*time.Second {
		t.Errorf("got %v, %v", cpu, err)
	}
	for _, bad := range []string{"", "42 (a) S 1 2", "42 (a) S 1 2 3 4 5 6 7 8 9 10 x 50 0"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestStatusGivesResidentAndPeakMemory(t *testing.T) {
	memory, err := parseStatus("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t3\n")
	if err != nil || memory != (Memory{Resident: 1 << 20, Peak: 2 << 20}) {
		t.Errorf("got %+v, %v", memory, err)
	}
	if _, err := parseStatus("Name:\tzombie\n"); err == nil {
		t.Error("a process without memory was accepted")
	}
}

func TestThisProcessUsesCPUAndMemory(t *testing.T) {
	cpu, err := CPUTime(os.Getpid())
	for end := time.Now().Add(time.Minute); err == nil && cpu == 0 && time.Now().Before(end); {
		cpu, err = CPUTime(os.Getpid()) // which is work too: it ends with the first tick of CPU time
	}
	if err != nil || cpu <= 0 || cpu > time.Hour {
		t.Errorf("CPU time %v, %v", cpu, err)
	}
	memory, err := ResidentMemory(os.Getpid())
	if err != nil || memory.Resident < 1<<20 || memory.Peak < memory.Resident {
		t.Errorf("memory %+v, %v", memory, err)
	}
	if _, err := CPUTime(1 << 30); err == nil {
		t.Error("a process that does not exist has CPU time")
	}
}

const mounts = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:26 / /tmp rw,nosuid shared:5 - tmpfs tmpfs rw
31 30 8:1 / /tmp/real\040disk rw master:1 - xfs /dev/sda1 rw
32 22 0:30 / /stacked rw - ext4 /dev/sdb rw
33 22 0:31 / /stacked rw - tmpfs tmpfs rw
`

func TestTheNearestMountPointDecides(t *testing.T) {
	for dir, want := range map[string]string{"/": "ext4", "/tmp": "tmpfs", "/tmp/x/y": "tmpfs", "/tmpfoo": "ext4",
		"/tmp/real disk/d": "xfs", "/srv/data": "ext4", "/stacked/d": "tmpfs"} {
		if got, err := parseMounts(strings.NewReader(mounts), dir); err != nil || got != want {
			t.Errorf("%s is on %s, %v; want %s", dir, got, err, want)
		}
	}
	if _, err := parseMounts(strings.NewReader(""), "/"); err == nil {
		t.Error("no mount point at all was accepted")
	}
}

func TestFileSystemOfARealDirectoryHasAName(t *testing.T) {
	kind, err := FileSystem(t.TempDir())
	if err != nil || kind == "" {
		t.Errorf("got %q, %v", kind, err)
	}
	if _, err := FileSystem("/no/such/directory"); err == nil {
		t.Error("a directory that does not exist has a file system")
	}
	if !IsMemory("tmpfs") || IsMemory("ext4") {
		t.Error("tmpfs and ext4 are mixed up")
	}
}

func TestSyncTimeMeasuresAndLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	times, _, err := SyncTime(t.Context(), dir, 20*time.Millisecond)
	if err != nil || times.Count() == 0 || times.Percentile(50) <= 0 {
		t.Fatalf("got %+v, %v", times, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("left %v, %v", entries, err)
	}
}
