package text

import (
	"fmt"
	"time"
)

// Moment is a flag for a time: as RFC 3339 writes it, as a time span before now, or now.
type Moment struct {
	text string
	At   time.Time
}

// Set reads 2026-01-02T15:04:05Z, 90s, 7d or now.
func (m *Moment) Set(text string) error {
	var before Span
	at, err := time.Parse(time.RFC3339Nano, text)
	switch {
	case err == nil:
	case text == "now":
		at = time.Now()
	case before.Set(text) == nil && before >= 0:
		at = time.Now().Add(-time.Duration(before))
	default:
		return fmt.Errorf("%q is no time such as 2026-01-02T15:04:05Z, 1h (ago) or now", text)
	}
	m.text, m.At = text, at
	return nil
}

// String is what Set read.
func (m *Moment) String() string { return m.text }

// Type names the kind of flag in cobra's own messages.
func (m *Moment) Type() string { return "time" }
