package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const clean = `{"time_ns":1,"process":"admin","op":"subscribe","phase":"ok","subscription":"s","topic":"t"}
{"time_ns":2,"process":"p","op":"publish","phase":"invoke","topic":"t","payload":"a","sha256":"x"}
{"time_ns":3,"process":"p","op":"publish","phase":"ok","topic":"t","payload":"a","message_id":"1"}
{"time_ns":4,"process":"r","op":"receive","phase":"ok","subscription":"s","payload":"a","sha256":"x","message_id":"1","ack_id":"k","deadline_ns":10000000000}
{"time_ns":5,"process":"r","op":"ack","phase":"invoke","subscription":"s","ack_id":"k"}
{"time_ns":6,"process":"admin","op":"drain","phase":"ok"}
`

func TestExitStatusSaysTheVerdict(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		status           int
		args             []string
	}{
		{"clean", clean, "verdict: clean", 0, nil},
		{"altered", strings.Replace(clean, `"sha256":"x","message_id"`, `"sha256":"y","message_id"`, 1), "altered", 1, nil},
		{"void", clean, "verdict: void", 1, []string{"-faults", "1"}},
		{"unreadable", "what?\n", "line 1", 2, nil},
		{"unknown flag", clean, "usage", 2, []string{"-colour"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "history.jsonl")
			if err := os.WriteFile(name, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if status := run(append(c.args, name), &out, &out); status != c.status || !strings.Contains(out.String(), c.want) {
				t.Errorf("status %d, want %d; output wants %q:\n%s", status, c.status, c.want, out.String())
			}
		})
	}
	var out bytes.Buffer
	if status := run([]string{filepath.Join(t.TempDir(), "missing")}, &out, &out); status != 2 {
		t.Errorf("missing file: status %d, want 2", status)
	}
}
