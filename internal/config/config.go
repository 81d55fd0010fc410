// Package config holds every setting of the broker. A setting has one entry in one table (settings.go), from which its flag, its
// environment variable, its place in the YAML file and its line in docs/CONFIG.md follow.
//
// A flag wins over the environment, which wins over the file, which wins over the default. Whatever is given is checked, also where
// something stronger overrides it: an unknown key or a bad value stops the start and names its place and what is allowed there.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Config is the complete set of settings, checked. See settings.go for defaults and ranges.
type Config struct {
	Listen             string // host:port for gRPC and HTTP; port 0 takes a free one
	Data               string // directory that the broker keeps its data in
	Resources          string // YAML file of what to have before the first call; empty is none
	Sync               Sync
	RequestMemoryBytes int64 // for the requests of all clients; 0: as much as fits the machine
	TailMemoryBytes    int64 // newest messages held in memory for subscriptions that keep up
	SegmentBytes       int64 // size of a log file; 0 lets the engine choose
	FreeReserveBytes   int64 // publishes are refused when less space than this is free; 0 lets the engine choose
	ShutdownGrace      time.Duration
	Pprof              string // host:port for profiles; empty is off
	PushCAFile         string // certificates that may vouch for push endpoints besides the system's; empty: none
	Issuer             string // URL that tokens name as their issuer; empty: derived from Listen
	Log                Log
	REST               REST
	Dev                bool // conveniences for tests, such as deleting everything with one call
}

// REST says who may use HTTP/JSON, beside programs.
type REST struct {
	Origins string // of web pages that may call, such as https://console.example.com, separated by commas; "*" is all
}

// Log says what is logged and how.
type Log struct {
	Level  slog.Level
	Format string // "text" or "json"
}

// Sync says when messages reach the disk: see SyncMode.
type Sync struct {
	Mode     SyncMode
	Interval time.Duration // of SyncInterval
}

// SyncMode is a level of durability.
type SyncMode string

// SyncAlways answers a publisher after its messages are on disk. SyncInterval answers at once and syncs every interval: a power cut
// loses up to one. SyncNone leaves syncing to the operating system.
const (
	SyncAlways   SyncMode = "always"
	SyncInterval SyncMode = "interval"
	SyncNone     SyncMode = "none"
)

// fileKey is the flag, and with the prefix the variable, that names the configuration file. It is no setting of the file itself.
const fileKey = "config"

// envPrefix begins the name of every environment variable that is a setting. Others with this prefix are left alone, since container
// platforms inject names such as POSTHASTE_PORT for a service called posthaste.
const envPrefix = "POSTHASTE_"

// Flags adds a flag for every setting, and --config, to a set. Values are checked by Load.
func Flags(flags *pflag.FlagSet) {
	flags.Var(&unchecked{kind: "FILE"}, fileKey, "read settings from this YAML file; unknown keys are errors")
	for _, s := range settings(new(Config)) {
		flags.Var(&unchecked{text: s.standard, kind: s.value.placeholder()}, s.flag(), s.help+"; allowed: "+s.value.accepts())
		if _, is := s.value.(*toggle); is {
			flags.Lookup(s.flag()).NoOptDefVal = "true"
		}
	}
}

// unchecked is the text of a flag, kept for Load, which names the source of a mistake in the same way for all of them.
type unchecked struct{ text, kind string }

func (u *unchecked) Set(text string) error { u.text = text; return nil }
func (u *unchecked) String() string        { return u.text }

// Type is what stands for the value in the help.
func (u *unchecked) Type() string { return u.kind }

// Load gathers the settings from a set that Flags has prepared and that has been parsed, from the environment, and from the file that
// one of these names. The error joins everything found wrong, one line each.
func Load(flags *pflag.FlagSet, lookupEnv func(string) (string, bool)) (*Config, error) {
	c := new(Config)
	table := settings(c)
	for _, s := range table {
		if err := s.value.set(s.standard); err != nil {
			panic(fmt.Sprintf("bug: default of %s: %v", s.key, err))
		}
	}
	var problems []error
	if name := fileName(flags, lookupEnv); name != "" {
		problems = append(problems, readFile(name, table))
	}
	for _, s := range table {
		if text, given := lookupEnv(s.env()); given {
			problems = append(problems, s.take(s.env(), text))
		}
	}
	for _, s := range table {
		if f := flags.Lookup(s.flag()); f != nil && f.Changed {
			problems = append(problems, s.take("--"+s.flag(), f.Value.String()))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return c, nil
}

func fileName(flags *pflag.FlagSet, lookupEnv func(string) (string, bool)) string {
	if f := flags.Lookup(fileKey); f != nil && f.Changed {
		return f.Value.String()
	}
	name, _ := lookupEnv(envPrefix + strings.ToUpper(fileKey))
	return name
}
