package check

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Recorder writes a history. It is safe for concurrent use; events stand in the file in the order of their times.
type Recorder struct {
	mu      sync.Mutex
	start   time.Time
	last    int64
	buffer  *bufio.Writer
	encoder *json.Encoder
	err     error
}

// NewRecorder starts a history and its clock.
func NewRecorder(w io.Writer) *Recorder {
	buffer := bufio.NewWriterSize(w, 1<<16)
	return &Recorder{start: time.Now(), buffer: buffer, encoder: json.NewEncoder(buffer)}
}

// Record stamps the events with one time, which is never before an earlier one, and writes them. It returns that time. The first error
// of the writer is kept for Close.
func (r *Recorder) Record(events ...Event) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	// time.Since uses the monotonic clock: a step of the wall clock must not reach the history.
	r.last = max(r.last, int64(time.Since(r.start)))
	for i := range events {
		events[i].TimeNS = r.last
		if err := r.encoder.Encode(&events[i]); err != nil && r.err == nil {
			r.err = fmt.Errorf("history: %w", err)
		}
	}
	return r.last
}

// Close writes out what is buffered and returns the first error there was. It does not close the writer below.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.buffer.Flush(); err != nil && r.err == nil {
		r.err = fmt.Errorf("history: %w", err)
	}
	return r.err
}
