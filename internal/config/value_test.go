package config

import (
	"math"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "17B": 17, "1KiB": 1024, "64MiB": 64 << 20, "64 MiB": 64 << 20, "2GiB": 2 << 30, "3TiB": 3 << 40,
		"1kB": 1000, "1KB": 1000, "500MB": 500e6, "2GB": 2e9, "1TB": 1e12, "9223372036854775807": math.MaxInt64,
	} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "+1", "1.5GiB", "64M", "64mib", "1e3", "0x10", "64  MiB", " 1", "9223372036854775808", "8388608TiB", "1_000"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("%q is read as %d, want an error", text, got)
		}
	}
}

func TestFormattedSizeIsReadBack(t *testing.T) {
	back := func(n int64, shift uint8) bool {
		n = (n & math.MaxInt64) >> (shift % 63) << (shift % 41)
		n &= math.MaxInt64
		got, err := parseBytes(formatBytes(n))
		return err == nil && got == n
	}
	if err := quick.Check(back, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
	for n, want := range map[int64]string{0: "0B", 1023: "1023B", 1024: "1KiB", 1 << 40: "1TiB", 1536: "1536B", 3 << 30: "3GiB"} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for text, good := range map[string]bool{
		"127.0.0.1:8085": true, ":8085": true, "localhost:0": true, "[::]:65535": true, "[::1]:1": true, "": false, "8085": false,
		"localhost": false, "localhost:": false, "localhost:http": false, "localhost:65536": false, "localhost:-1": false,
		"::1:80": false, "localhost:0080": false, "http://localhost:80": false,
	} {
		var got string
		err := (&address{into: &got}).set(text)
		if (err == nil) != good || (good && got != text) {
			t.Errorf("%q: %q, %v, good should be %v", text, got, err, good)
		}
	}
	got := "x"
	if err := (&address{into: &got, mayBeEmpty: true}).set(""); err != nil || got != "" {
		t.Errorf("optional address, empty: %q, %v", got, err)
	}
}

func TestBasesOfURLs(t *testing.T) {
	for text, good := range map[string]bool{
		"": true, "https://broker.example.com": true, "http://[::1]:8085/posthaste": true,
		"broker.example.com": false, "ftp://x": false, "https://": false, "https://x/": false, "https://x?a=b": false, "https://x#a": false,
		"https://user@x": false, "https://x y": false,
	} {
		var got string
		if err := (&base{into: &got}).set(text); (err == nil) != good || good && got != text {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}

func TestSyncModes(t *testing.T) {
	for text, want := range map[string]Sync{
		"always": {Mode: SyncAlways}, "none": {Mode: SyncNone}, "interval": {SyncInterval, 100 * time.Millisecond},
		"interval:1ms": {SyncInterval, time.Millisecond}, "interval:1m": {SyncInterval, time.Minute},
	} {
		var got Sync
		if err := (&syncing{into: &got}).set(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "Always", "interval:", "interval:1us", "interval:2m", "interval:-1s", "always:1s", "none:"} {
		untouched := Sync{Mode: SyncAlways}
		if err := (&syncing{into: &untouched}).set(text); err == nil || untouched != (Sync{Mode: SyncAlways}) {
			t.Errorf("%q: %+v, %v, want an error and nothing changed", text, untouched, err)
		}
	}
}

func TestBadValueNamesRange(t *testing.T) {
	var d time.Duration
	s := setting{key: "grace", value: &duration{into: &d, min: time.Second, max: time.Hour}}
	for text, want := range map[string]string{
		"2h":  `x: "2h" is out of range; allowed: a duration such as 1m30s, from 1s to 1h`,
		"0s":  `x: "0s" is out of range`,
		"10":  `x: "10" is no duration`,
		"1 s": `x: "1 s" is no duration`,
	} {
		if err := s.take("x", text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestSizeMayBeLeftToTheEngine(t *testing.T) {
	n := int64(7)
	v := autoSize(&n, 1<<20, 1<<30, "enough")
	if err := v.set("auto"); err != nil || n != 0 {
		t.Errorf("auto: %d, %v", n, err)
	}
	if want := "auto (enough) or a size such as 64MiB or 500MB, from 1MiB to 1GiB"; v.accepts() != want {
		t.Errorf("accepts %q", v.accepts())
	}
	if err := size(&n, 0, 1).set("auto"); err == nil {
		t.Error("auto is taken where nothing would choose")
	}
}
