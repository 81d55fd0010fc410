package process

import (
	"strings"
	"sync"
)

// logBytesMax is how much of a broker's output a Log keeps.
const logBytesMax = 64 << 10

// Log keeps the last part of a broker's output, to be shown when a test fails. It is safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	kept []byte
}

// Write takes output; it never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, p...)
	if over := len(l.kept) - logBytesMax; over > 0 {
		l.kept = append(l.kept[:0], l.kept[over:]...)
	}
	return len(p), nil
}

// String is the output kept so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.ToValidUTF8(string(l.kept), "?")
}
