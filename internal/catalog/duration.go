package catalog

import (
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

// checkDuration refuses a duration that is not one: out of range, or seconds and nanoseconds of different signs.
func checkDuration(argument string, d *durationpb.Duration) error {
	if d != nil && !d.IsValid() {
		return badArgument(argument)
	}
	return nil
}

// atLeast and atMost compare exactly: a Duration message may be far longer than a time.Duration, which AsDuration then saturates.
func atLeast(d *durationpb.Duration, least time.Duration) bool { return d.AsDuration() >= least }
func atMost(d *durationpb.Duration, most time.Duration) bool   { return d.AsDuration() <= most }

// formatDuration writes a valid duration in hours, minutes and seconds, leaving out units that are zero: 10m, 744h, 9m59s, 1h0.5s.
// This is the notation of the service's texts about retention and expiration.
func formatDuration(d *durationpb.Duration) string {
	sign, seconds, nanos := magnitude(d)
	if seconds == 0 {
		return sign + time.Duration(nanos).String()
	}
	text := []byte(sign)
	if hours := seconds / 3600; hours > 0 {
		text = append(strconv.AppendInt(text, hours, 10), 'h')
	}
	if minutes := seconds / 60 % 60; minutes > 0 {
		text = append(strconv.AppendInt(text, minutes, 10), 'm')
	}
	if seconds%60 > 0 || nanos > 0 {
		text = append(appendSeconds(text, seconds%60, nanos), 's')
	}
	return string(text)
}

// formatSeconds writes a valid duration in seconds alone: 601s, 0.5s. This is the notation of the service's texts about backoff.
func formatSeconds(d *durationpb.Duration) string {
	sign, seconds, nanos := magnitude(d)
	return string(append(appendSeconds([]byte(sign), seconds, nanos), 's'))
}

func magnitude(d *durationpb.Duration) (sign string, seconds, nanos int64) {
	seconds, nanos = d.GetSeconds(), int64(d.GetNanos())
	if seconds < 0 || nanos < 0 {
		return "-", -seconds, -nanos
	}
	return "", seconds, nanos
}

func appendSeconds(text []byte, seconds, nanos int64) []byte {
	text = strconv.AppendInt(text, seconds, 10)
	if nanos == 0 {
		return text
	}
	text = append(text, '.')
	for place := int64(time.Second / 10); nanos > 0; place /= 10 {
		text = append(text, byte('0'+nanos/place))
		nanos %= place
	}
	return text
}
