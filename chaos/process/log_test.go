package process

import (
	"strings"
	"testing"
)

func TestLogKeepsTheEnd(t *testing.T) {
	var l Log
	for range 100 {
		if n, err := l.Write([]byte(strings.Repeat("x", 1000))); n != 1000 || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	if _, err := l.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	if s := l.String(); len(s) != logBytesMax || !strings.HasSuffix(s, "the end") {
		t.Errorf("%d bytes kept that end with %q", len(s), s[len(s)-10:])
	}
}

func TestAlarmFindsDefects(t *testing.T) {
	for _, c := range []struct{ output, want string }{
		{"listening on 127.0.0.1:8085\nstopped\n", ""},
		{"listening\npanic: bug: offset moved back\n\ngoroutine 1 [running]:\n", "panic: bug: offset moved back"},
		{"==================\nWARNING: DATA RACE\nRead at 0x0\n", "WARNING: DATA RACE"},
		{"fatal error: concurrent map writes\n", "fatal error: concurrent map writes"},
	} {
		var l Log
		if _, err := l.Write([]byte(c.output)); err != nil {
			t.Fatal(err)
		}
		if got := l.Alarm(); got != c.want {
			t.Errorf("alarm of %q is %q, want %q", c.output, got, c.want)
		}
	}
}

func TestFreeAddrIsFree(t *testing.T) {
	seen := make(map[string]bool)
	for range 5 {
		addr, err := FreeAddr()
		if err != nil || !strings.HasPrefix(addr, "127.0.0.1:") {
			t.Fatalf("address %q, %v", addr, err)
		}
		seen[addr] = true
	}
	if len(seen) < 2 {
		t.Errorf("five addresses are all %v", seen)
	}
}
