package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// load runs Load on command-line arguments, environment variables and the text of a file, which is left out when empty.
func load(t *testing.T, args []string, env map[string]string, file string) (*Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	Flags(flags)
	if file != "" {
		name := filepath.Join(t.TempDir(), "posthaste.yaml")
		if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config", name}, args...)
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return Load(flags, func(name string) (string, bool) { text, given := env[name]; return text, given })
}

func TestDefaultsAreComplete(t *testing.T) {
	got, err := load(t, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Listen: "127.0.0.1:8085", Data: "./posthaste-data", Sync: Sync{Mode: SyncAlways},
		TailMemoryBytes: 64 << 20,
		ShutdownGrace:   8 * time.Second, Log: Log{Level: slog.LevelInfo, Format: "text"},
	}
	if *got != want {
		t.Errorf("got %+v\nwant %+v", *got, want)
	}
}

func TestStrongerSourceWins(t *testing.T) {
	const file = "log:\n  level: debug\ndata: /from/file\ntail-memory: 1GiB\nshutdown-grace: 1s\n"
	env := map[string]string{"POSTHASTE_LOG_LEVEL": "warn", "POSTHASTE_DATA": "/from/env", "POSTHASTE_PORT": "tcp://10.0.0.1:1"}
	got, err := load(t, []string{"--log-level=error", "--sync", "interval:250ms"}, env, file)
	if err != nil {
		t.Fatal(err)
	}
	if got.Log.Level != slog.LevelError {
		t.Errorf("log level %v, want that of the flag", got.Log.Level)
	}
	if got.Data != "/from/env" {
		t.Errorf("data %s, want that of the environment", got.Data)
	}
	if got.TailMemoryBytes != 1<<30 || got.ShutdownGrace != time.Second {
		t.Errorf("tail memory %d, grace %s, want those of the file", got.TailMemoryBytes, got.ShutdownGrace)
	}
	if got.Sync != (Sync{Mode: SyncInterval, Interval: 250 * time.Millisecond}) {
		t.Errorf("sync %+v, want that of the flag", got.Sync)
	}
}

func TestConfigFileMayBeNamedByTheEnvironment(t *testing.T) {
	name := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(name, []byte("listen: :1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := load(t, nil, map[string]string{"POSTHASTE_CONFIG": name}, "")
	if err != nil || got.Listen != ":1234" {
		t.Errorf("got %+v, %v, want what the file says", got, err)
	}
}

func TestMistakesInTheFileAreNamedWithTheirLine(t *testing.T) {
	for name, test := range map[string]struct{ file, want string }{
		"unknown key": {"data: x\nlisen: :1\n",
			`:2: unknown key "lisen" in the file (known: data, dev, free-space-reserve, issuer, listen, log, pprof, push, request-memory, resources, rest, segment-size, shutdown-grace, sync, tail-memory)`},
		"unknown key in a section": {"log:\n  levle: info\n", `:2: unknown key "levle" in section log (known: format, level)`},
		"flag name as a key":       {"log-level: info\n", `:1: unknown key "log-level" in the file`},
		"out of range":             {"\n\ntail-memory: 1KiB\n", `:3: tail-memory: "1KiB" is out of range; allowed: a size such as 64MiB or 500MB, from 1MiB to 64GiB`},
		"no value":                 {"data:\n", `:1: data: has no value; allowed: a path`},
		"list for a value":         {"data: [a, b]\n", `:1: data: must be one value; allowed: a path`},
		"value for a section":      {"log: info\n", `:1: section log must hold keys and values (format, level)`},
		"list for a file":          {"- data\n", `:1: the file must hold keys and values`},
		"key given twice":          {"data: a\nsync: none\ndata: b\n", `:3: data: given twice, first in line 1`},
		"section given twice":      {"log: {level: info}\nlog: {format: json}\n", `:2: log: given twice, first in line 1`},
		"merge key":                {"<<: {data: x}\n", `:1: unknown key "<<"`},
		"alias":                    {"data: &d x\nlisten: *d\n", `:2: listen: must be one value; allowed: HOST:PORT`},
		"second document":          {"data: a\n---\ndata: b\n", `:3: a second YAML document; one is allowed`},
		"no YAML":                  {"data: a\nlog: [\n", `:3: did not find expected node content`},
		"tab":                      {"log:\n\tlevel: info\n", `:2: found character that cannot start any token`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, nil, nil, test.file)
			if err == nil || !strings.Contains(err.Error(), "posthaste.yaml"+test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	_, err := load(t, []string{"--sync=sometimes"}, map[string]string{"POSTHASTE_PPROF": "6060"}, "data: a\nx: 1\ny: 2\n")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`posthaste.yaml:2: unknown key "x"`,
		`posthaste.yaml:3: unknown key "y"`,
		`POSTHASTE_PPROF: "6060" is no address; allowed: HOST:PORT`,
		`--sync: "sometimes" is unknown; allowed: always, interval, interval:DURATION from 1ms to 1m, none`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != 4 {
		t.Errorf("%d lines, want 4:\n%v", lines, err)
	}
}

func TestBadValueIsAnErrorAlsoWhenOverridden(t *testing.T) {
	_, err := load(t, []string{"--sync=always"}, map[string]string{"POSTHASTE_SYNC": "never"}, "")
	if err == nil || !strings.Contains(err.Error(), "POSTHASTE_SYNC") {
		t.Errorf("got %v, want an error about the environment", err)
	}
}

func TestUnreadableFileIsNamed(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	Flags(flags)
	if err := flags.Parse([]string{"--config=/no/such/file"}); err != nil {
		t.Fatal(err)
	}
	_, err := Load(flags, os.LookupEnv)
	if err == nil || !strings.Contains(err.Error(), "configuration file: stat /no/such/file") {
		t.Errorf("got %v", err)
	}
	_, err = load(t, nil, nil, "# "+strings.Repeat("x", fileBytesMax))
	if err == nil || !strings.Contains(err.Error(), "at most 1048576 are allowed") {
		t.Errorf("file too long: got %v", err)
	}
}

func TestEmptyFileSaysNothing(t *testing.T) {
	want, err := load(t, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"\n", "# nothing\n", "log:\n", "{}\n"} {
		got, err := load(t, nil, nil, file)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v", file, got, err)
		}
	}
}

func TestNamesFollowFromTheKey(t *testing.T) {
	flags, envs := map[string]bool{fileKey: true}, map[string]bool{"POSTHASTE_CONFIG": true}
	for _, s := range settings(new(Config)) {
		if flags[s.flag()] || envs[s.env()] {
			t.Errorf("%s: the flag %s or the variable %s is taken", s.key, s.flag(), s.env())
		}
		flags[s.flag()], envs[s.env()] = true, true
		if s.key != strings.ToLower(s.key) {
			t.Errorf("%s: keys are in lower case", s.key)
		}
	}
	if !flags["log-level"] || !envs["POSTHASTE_LOG_LEVEL"] || !envs["POSTHASTE_TAIL_MEMORY"] {
		t.Errorf("flags %v, variables %v", flags, envs)
	}
	for _, injected := range []string{"POSTHASTE_PORT", "POSTHASTE_SERVICE_HOST", "POSTHASTE_SERVICE_PORT", "POSTHASTE_ADDR"} {
		if envs[injected] {
			t.Errorf("%s is set by others", injected)
		}
	}
}

func FuzzReadYAML(f *testing.F) {
	f.Add("listen: :1\nlog: {level: info}\n")
	f.Add("a: &a [*a]\n---\n")
	f.Add("? [x]\n: y\n")
	f.Add("log:\n  ? {a: b}\n  : !!null x\n")
	f.Fuzz(func(t *testing.T, content string) {
		err := readYAML("f", []byte(content), settings(new(Config)))
		if err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("the error does not begin with the file: %v", err)
		}
	})
}
