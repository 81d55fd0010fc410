package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

// day is what people count retention in.
const day = 24 * time.Hour

// span is a flag for a time span: as Go writes it, or in whole days.
type span time.Duration

// Set reads 90s, 1h30m or 7d.
func (s *span) Set(text string) error {
	if number, days := strings.CutSuffix(text, "d"); days {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is no duration such as 90s, 1h30m or 7d", text)
		}
		*s = span(time.Duration(n) * day)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is no duration such as 90s, 1h30m or 7d", text)
	}
	*s = span(d)
	return nil
}

func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return spanText(time.Duration(*s))
}

// Type names the kind of flag in cobra's own messages.
func (s *span) Type() string { return "duration" }

func (s *span) proto() *durationpb.Duration { return durationpb.New(time.Duration(*s)) }

// spanText writes whole days as such, which Set reads back, and everything else as Go does.
func spanText(d time.Duration) string {
	if d > 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return d.String()
}
