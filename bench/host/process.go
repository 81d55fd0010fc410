// Package host reads what the machine says about itself: the CPU time and memory of processes, the type of file systems, and how fast
// the disk makes writes durable. It needs Linux.
package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is USER_HZ, which Linux fixes at 100 for everything it shows to processes.
const ticksPerSecond = 100

// CPUTime is what all threads of a process have used so far, in user and kernel mode, in steps of 10 ms.
func CPUTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	cpu, err := parseStat(stat)
	if err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return cpu, nil
}

// parseStat reads utime and stime, fields 14 and 15 of proc(5)'s stat. The name, field 2, is in parentheses and may hold anything.
func parseStat(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, errors.New("stat has no process name")
	}
	fields := bytes.Fields(stat[end+1:]) // from field 3 on
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat has %d fields after the name", len(fields))
	}
	ticks := int64(0)
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / ticksPerSecond), nil
}

// Memory is what a process holds in RAM, in bytes.
type Memory struct {
	Resident int64
	Peak     int64 // the most it ever held
}

// ResidentMemory reads the memory of a process.
func ResidentMemory(pid int) (Memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	memory, err := parseStatus(string(status))
	if err != nil {
		return Memory{}, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	return memory, nil
}

func parseStatus(status string) (Memory, error) {
	var memory Memory
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		var field *int64
		switch name {
		case "VmRSS":
			field = &memory.Resident
		case "VmHWM":
			field = &memory.Peak
		default:
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("%s: %w", name, err)
		}
		*field = kilobytes << 10
	}
	if memory.Resident == 0 {
		return Memory{}, errors.New("status has no VmRSS: the process has ended")
	}
	return memory, nil
}
