package process

import (
	"strings"
)

// alarms are words that a healthy broker never prints: a panic's first line, the runtime's dying words, the race detector's report, and
// the mark of a broken invariant.
var alarms = []string{"panic: ", "fatal error: ", "WARNING: DATA RACE", "bug: "}

// Alarm is the first line of output, among those kept, that tells of a defect in the broker; empty when there is none.
func (l *Log) Alarm() string {
	for line := range strings.Lines(l.String()) {
		for _, alarm := range alarms {
			if strings.Contains(line, alarm) {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}
