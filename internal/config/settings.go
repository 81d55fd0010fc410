package config

import (
	"fmt"
	"strings"
	"time"
)

// setting is one line of the table: where a value goes, and what people are told about it.
type setting struct {
	key      string // place in the file: a dot leads into a section
	standard string // default, as one would write it
	help     string
	value    value
}

// settings is the table, bound to the fields of one Config. A nested section needs nothing but keys with a common first part.
//
// Names to stay away from, because container platforms set POSTHASTE_ variables for a service of that name: port, service.host,
// service.port. ADDR is the client commands'.
func settings(c *Config) []setting {
	return []setting{
		{"listen", "127.0.0.1:8085", "address for gRPC and HTTP; without a host, all interfaces", &address{into: &c.Listen}},
		{"data", "./posthaste-data", "directory for everything that is stored", &text{into: &c.Data}},
		{"resources", "", "YAML file of topics, subscriptions and schemas to create or update before the first call", &text{into: &c.Resources, mayBeEmpty: true}},
		{"sync", "always", "when messages are synced to disk: before the answer, every interval, or when the system likes", &syncing{into: &c.Sync}},
		{"tail-memory", "64MiB", "memory for the newest messages, read without the disk", size(&c.TailMemoryBytes, 1<<20, 64<<30)},
		{"request-memory", auto, "memory for the requests of all clients; when it is taken, further ones wait and then get RESOURCE_EXHAUSTED",
			autoSize(&c.RequestMemoryBytes, 32<<20, 64<<30, "a quarter of GOMEMLIMIT, or else of the container's or machine's memory, from 64MiB to 1GiB")},
		{"segment-size", auto, "size of a log file", autoSize(&c.SegmentBytes, 16<<20, 2<<30, "128MiB, less on a small file system")},
		{"free-space-reserve", auto, "publishes are refused when less disk space is free", autoSize(&c.FreeReserveBytes, 1<<20, 1<<40, "two log files")},
		{"shutdown-grace", "8s", "time for open calls to end after SIGTERM; container runtimes kill after 10s", &duration{into: &c.ShutdownGrace, min: 0, max: time.Hour}},
		{"dev", "false", "conveniences for tests: POST /reset deletes every resource", &toggle{into: &c.Dev}},
		{"rest.origins", "", "web origins whose pages may call over HTTP; empty is none", &origins{into: &c.REST.Origins}},
		{"pprof", "", "address for Go profiles over HTTP; empty is off", &address{into: &c.Pprof, mayBeEmpty: true}},
		{"push.ca-file", "", "PEM file of further certificate authorities that may vouch for push endpoints; empty: the system's alone", &text{into: &c.PushCAFile, mayBeEmpty: true}},
		{"issuer", "", "issuer of the tokens that push endpoints verify: the URL at which they reach this broker; empty: derived from the listen address", &base{into: &c.Issuer}},
		{"log.level", "info", "least severe log lines to write", &level{into: &c.Log.Level}},
		{"log.format", "text", "form of log lines", &choice{into: &c.Log.Format, among: []string{"text", "json"}}},
	}
}

func (s *setting) flag() string { return strings.ReplaceAll(s.key, ".", "-") }

func (s *setting) env() string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(s.key))
}

// take sets the value from a source, whose name begins the error.
func (s *setting) take(source, text string) error {
	if err := s.value.set(text); err != nil {
		return fmt.Errorf("%s: %w; allowed: %s", source, err, s.value.accepts())
	}
	return nil
}
