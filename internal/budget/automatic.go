package budget

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// Automatic is the size of a budget that nobody chose: a quarter of what the process may have, within limits. That is what it was told with
// GOMEMLIMIT, or else what its container or the machine has.
func Automatic() int { return automatic(debug.SetMemoryLimit(-1), os.DirFS("/")) }

// Files that say how much memory there is, the narrowest first: control groups of version 2 and 1, as a container sees its own.
const (
	groupFile      = "sys/fs/cgroup/memory.max"
	olderGroupFile = "sys/fs/cgroup/memory/memory.limit_in_bytes"
	machineFile    = "proc/meminfo"
)

// automatic is Automatic where goLimit is the runtime's, math.MaxInt64 for none.
func automatic(goLimit int64, files fs.FS) int {
	most := goLimit
	if most == math.MaxInt64 {
		for _, name := range []string{groupFile, olderGroupFile} {
			most = min(most, number(files, name))
		}
		most = min(most, machineBytes(files))
	}
	return int(min(max(most/4, limit.RequestMemoryAutomaticMin), limit.RequestMemoryAutomaticMax))
}

// number is a file's content; math.MaxInt64 where there is none, or a word such as max.
func number(files fs.FS, name string) int64 {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return math.MaxInt64
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil || n <= 0 {
		return math.MaxInt64
	}
	return n
}

// machineBytes is the machine's memory; math.MaxInt64 where it does not say.
func machineBytes(files fs.FS) int64 {
	text, err := fs.ReadFile(files, machineFile)
	if err != nil {
		return math.MaxInt64
	}
	for line := range bytes.Lines(text) {
		words := bytes.Fields(line)
		if len(words) < 2 || string(words[0]) != "MemTotal:" {
			continue
		}
		if kib, err := strconv.ParseInt(string(words[1]), 10, 64); err == nil && kib > 0 {
			return kib << 10
		}
	}
	return math.MaxInt64
}
