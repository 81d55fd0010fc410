package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/posthaste-io/posthaste/internal/catalog"
)

var update = flag.Bool("update", false, "rewrite the help texts in testdata")

// walk visits the commands that people see. The library's own help and completion texts are left out: they are not ours.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, child := range c.Commands() {
		if child.Name() != "help" && child.Name() != "completion" {
			walk(child, visit)
		}
	}
}

func TestHelpTexts(t *testing.T) {
	var paths [][]string
	walk((&app{}).rootCommand(), func(c *cobra.Command) { paths = append(paths, strings.Fields(c.CommandPath())) })
	for _, path := range paths {
		t.Run(strings.Join(path, " "), func(t *testing.T) {
			got := runIn(t, nil, "", append(path[1:], "--help")...)
			if got.code != 0 || got.errs != "" {
				t.Fatalf("code %d, errs %q", got.code, got.errs)
			}
			golden := filepath.Join("testdata", "help", strings.Join(path, "-")+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got.out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.out != string(want) {
				t.Errorf("the help is not that of %s; if it is meant to be, run go test ./cmd/posthaste -run Help -update\n%s", golden, got.out)
			}
		})
	}
}

func TestEveryCommandThatDoesSomethingHasAnExample(t *testing.T) {
	walk((&app{}).rootCommand(), func(c *cobra.Command) {
		if len(c.Commands()) == 0 && !strings.Contains(c.Example, "posthaste "+c.Name()) && !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s has no example", c.CommandPath())
		}
	})
}

func TestExamplesNameWhatTheAPITakes(t *testing.T) {
	valid := map[string]func(string) error{
		"topics":        func(name string) error { _, err := catalog.ParseTopic(name); return err },
		"subscriptions": func(name string) error { _, err := catalog.ParseSubscription(name); return err },
		"snapshots":     func(name string) error { _, err := catalog.ParseSnapshot(name); return err },
		"schemas":       func(name string) error { _, _, err := catalog.ParseSchema(name); return err },
	}
	seen := 0
	walk((&app{}).rootCommand(), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			words := strings.Fields(line)
			if len(words) < 4 || words[0] != "posthaste" || words[2] != "create" {
				continue
			}
			for _, id := range words[3:] {
				if strings.HasPrefix(id, "-") {
					break
				}
				seen++
				if err := valid[words[1]+"s"]("projects/posthaste/" + words[1] + "s/" + id); err != nil {
					t.Errorf("%s: %v", strings.TrimSpace(line), err)
				}
			}
		}
	})
	if seen < 5 {
		t.Errorf("only %d names were seen", seen)
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		got := runIn(t, nil, "", "completion", shell)
		if got.code != 0 || !strings.Contains(got.out, "posthaste") {
			t.Errorf("%s: code %d, %d bytes", shell, got.code, len(got.out))
		}
	}
}

func TestVersion(t *testing.T) {
	text := runIn(t, nil, "", "version")
	if text.code != 0 || !strings.HasPrefix(text.out, "posthaste ") || strings.Count(text.out, "\n") != 1 {
		t.Errorf("%+v", text)
	}
	object := runIn(t, nil, "", "version", "--output", "json")
	if object.code != 0 || !strings.HasPrefix(object.out, `{"version":"`) {
		t.Errorf("%+v", object)
	}
}
