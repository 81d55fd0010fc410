package text

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

// Day is what people count retention in.
const Day = 24 * time.Hour

// Span is a flag for a time span: as Go writes it, or in whole days.
type Span time.Duration

// Set reads 90s, 1h30m or 7d.
func (s *Span) Set(text string) error {
	if number, days := strings.CutSuffix(text, "d"); days {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is no duration such as 90s, 1h30m or 7d", text)
		}
		*s = Span(time.Duration(n) * Day)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is no duration such as 90s, 1h30m or 7d", text)
	}
	*s = Span(d)
	return nil
}

// String is the span as Set reads it; nothing when there is none.
func (s *Span) String() string {
	if *s == 0 {
		return ""
	}
	return SpanText(time.Duration(*s))
}

// Type names the kind of flag in cobra's own messages.
func (s *Span) Type() string { return "duration" }

// Proto is the span as the API writes it.
func (s *Span) Proto() *durationpb.Duration { return durationpb.New(time.Duration(*s)) }

// SpanText writes whole days as such, which Set reads back, and everything else as Go does.
func SpanText(d time.Duration) string {
	if d > 0 && d%Day == 0 {
		return strconv.FormatInt(int64(d/Day), 10) + "d"
	}
	return d.String()
}
