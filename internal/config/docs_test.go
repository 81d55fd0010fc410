package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table in docs/CONFIG.md")

const (
	docsFile  = "../../docs/CONFIG.md"
	docsBegin = "<!-- table of settings: go test ./internal/config -run Docs -update -->\n"
	docsEnd   = "<!-- end of table -->\n"
)

// table renders the settings as the document shows them.
func table() string {
	var b strings.Builder
	b.WriteString("| file | flag | environment | default | allowed | meaning |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, s := range settings(new(Config)) {
		standard := "(empty)"
		if s.standard != "" {
			standard = "`" + s.standard + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `--%s` | `%s` | %s | %s | %s |\n", s.key, s.flag(), s.env(), standard, s.value.accepts(), s.help)
	}
	return b.String()
}

func TestDocsHoldTheTableOfSettings(t *testing.T) {
	content, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), docsBegin)
	current, after, ended := strings.Cut(rest, docsEnd)
	if !found || !ended {
		t.Fatalf("%s lacks the markers of the table", docsFile)
	}
	if current == table() {
		return
	}
	if !*update {
		t.Fatalf("%s is out of date: run go test ./internal/config -run Docs -update", docsFile)
	}
	if err := os.WriteFile(docsFile, []byte(before+docsBegin+table()+docsEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
