package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value is one kind of setting, bound to a field.
type value interface {
	set(text string) error // checks and stores; the error does not repeat accepts
	accepts() string       // what is allowed, with units and range
	placeholder() string   // what stands for it in the help of a flag
}

// text is a path, which is not empty unless that is allowed.
type text struct {
	into       *string
	mayBeEmpty bool
}

func (v *text) set(s string) error {
	if s == "" && !v.mayBeEmpty || strings.ContainsRune(s, 0) {
		return fmt.Errorf("%q is no path", s)
	}
	*v.into = s
	return nil
}

func (v *text) accepts() string { return "a path" }
func (v *text) placeholder() string {
	if v.mayBeEmpty {
		return "FILE"
	}
	return "DIR"
}

// choice is one of a few words.
type choice struct {
	into  *string
	among []string
}

func (v *choice) set(s string) error {
	if !slices.Contains(v.among, s) {
		return fmt.Errorf("%q is unknown", s)
	}
	*v.into = s
	return nil
}

func (v *choice) accepts() string     { return strings.Join(v.among, ", ") }
func (v *choice) placeholder() string { return "WORD" }

// level is a severity of log lines.
type level struct{ into *slog.Level }

func (v *level) set(s string) error {
	inner := choice{into: new(string), among: v.names()}
	if err := inner.set(s); err != nil {
		return err
	}
	return v.into.UnmarshalText([]byte(s))
}

func (v *level) names() []string     { return []string{"debug", "info", "warn", "error"} }
func (v *level) accepts() string     { return strings.Join(v.names(), ", ") }
func (v *level) placeholder() string { return "LEVEL" }

// address is a host and a port to listen on. The host is resolved when it is used.
type address struct {
	into       *string
	mayBeEmpty bool
}

func (v *address) set(s string) error {
	if s == "" && v.mayBeEmpty {
		*v.into = s
		return nil
	}
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is no address", s)
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no port between 0 and 65535", s)
	} else if port != strconv.FormatUint(number, 10) {
		return fmt.Errorf("%q has a port with leading zeros", s)
	}
	*v.into = s
	return nil
}

func (v *address) accepts() string     { return "HOST:PORT" }
func (v *address) placeholder() string { return "ADDR" }

// base is a URL that others are made of by appending a path; it may be empty.
type base struct{ into *string }

func (v *base) set(s string) error {
	if s == "" {
		*v.into = s
		return nil
	}
	parsed, err := url.Parse(s)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Hostname() == "" {
		return fmt.Errorf("%q is no URL of http or https", s)
	}
	if parsed.RawQuery != "" || parsed.Fragment != "" || parsed.User != nil || strings.HasSuffix(s, "/") {
		return fmt.Errorf("%q has more than a host and a path", s)
	}
	*v.into = s
	return nil
}

func (v *base) accepts() string {
	return "a URL such as https://broker.example.com, without a slash at its end"
}
func (v *base) placeholder() string { return "URL" }

// duration is a time span as Go writes it.
type duration struct {
	into     *time.Duration
	min, max time.Duration
}

func (v *duration) set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is no duration", s)
	}
	if d < v.min || d > v.max {
		return fmt.Errorf("%q is out of range", s)
	}
	*v.into = d
	return nil
}

func (v *duration) accepts() string {
	return "a duration such as 1m30s, from " + shortDuration(v.min) + " to " + shortDuration(v.max)
}
func (v *duration) placeholder() string { return "DURATION" }

// shortDuration leaves out the zero parts that time.Duration prints: 1h, not 1h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Bounds and default of the interval in SyncInterval.
const (
	syncIntervalMin     = time.Millisecond
	syncIntervalMax     = time.Minute
	syncIntervalDefault = 100 * time.Millisecond
)

// syncing is a Sync: a mode, for the interval one with the interval behind a colon.
type syncing struct{ into *Sync }

func (v *syncing) set(s string) error {
	mode, interval, given := strings.Cut(s, ":")
	switch SyncMode(mode) {
	case SyncAlways, SyncNone:
		if given {
			return fmt.Errorf("%q: only interval takes a duration", s)
		}
		*v.into = Sync{Mode: SyncMode(mode)}
		return nil
	case SyncInterval:
		parsed := Sync{Mode: SyncInterval, Interval: syncIntervalDefault}
		if given {
			span := duration{into: &parsed.Interval, min: syncIntervalMin, max: syncIntervalMax}
			if err := span.set(interval); err != nil {
				return err
			}
		}
		*v.into = parsed
		return nil
	}
	return fmt.Errorf("%q is unknown", s)
}

func (v *syncing) accepts() string {
	return fmt.Sprintf("always, interval, interval:DURATION from %s to %s, none", syncIntervalMin, shortDuration(syncIntervalMax))
}
func (v *syncing) placeholder() string { return "MODE" }

// byteSize is a number of bytes, with a unit or without.
type byteSize struct {
	into      *int64
	min, max  int64
	automatic string // if not empty, the word auto is allowed, which stores 0, and this says what it stands for
}

// auto leaves a size to the code that uses it.
const auto = "auto"

func size(into *int64, min, max int64) *byteSize { return &byteSize{into: into, min: min, max: max} }

func autoSize(into *int64, min, max int64, automatic string) *byteSize {
	return &byteSize{into: into, min: min, max: max, automatic: automatic}
}

func (v *byteSize) set(s string) error {
	if s == auto && v.automatic != "" {
		*v.into = 0
		return nil
	}
	n, err := parseBytes(s)
	if err != nil {
		return fmt.Errorf("%q is no size", s)
	}
	if n < v.min || n > v.max {
		return fmt.Errorf("%q is out of range", s)
	}
	*v.into = n
	return nil
}

func (v *byteSize) accepts() string {
	sizes := "a size such as 64MiB or 500MB, from " + formatBytes(v.min) + " to " + formatBytes(v.max)
	if v.automatic == "" {
		return sizes
	}
	return auto + " (" + v.automatic + ") or " + sizes
}
func (v *byteSize) placeholder() string { return "SIZE" }

// units of sizes, the binary ones in the order in which formatBytes tries them.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1},
}

const binaryUnits = 4

var errSize = errors.New("no size")

// parseBytes reads a whole number with an optional unit.
func parseBytes(s string) (int64, error) {
	number, unit := s, int64(1)
	for _, u := range units {
		if rest, found := strings.CutSuffix(s, u.name); found {
			number, unit = strings.TrimSuffix(rest, " "), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, errSize
	}
	return int64(n) * unit, nil
}

// formatBytes writes a size in the biggest binary unit that holds it without a fraction.
func formatBytes(n int64) string {
	for _, u := range units[:binaryUnits] {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// origins is a list of web origins, separated by commas.
type origins struct{ into *string }

func (v *origins) set(s string) error {
	var list []string
	for origin := range strings.SplitSeq(s, ",") {
		origin = strings.TrimSpace(origin)
		if origin == "" {
			continue
		}
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || origin != u.Scheme+"://"+u.Host) {
			return fmt.Errorf("%q is no origin", origin)
		}
		list = append(list, origin)
	}
	*v.into = strings.Join(list, ",")
	return nil
}

func (v *origins) accepts() string {
	return "origins such as https://console.example.com, separated by commas, or *"
}
func (v *origins) placeholder() string { return "ORIGIN,..." }
