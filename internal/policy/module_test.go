package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// requiredMax bounds the modules that this one names itself. Each is code of others that runs in the broker, or beside it in a test.
const requiredMax = 20

func TestTheModuleFileSaysWhatItMust(t *testing.T) {
	text := read(t, "go.mod")
	for _, line := range []string{"module " + module, "go 1.26.0"} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(line) + `$`).MatchString(text) {
			t.Errorf("go.mod has no line %q", line)
		}
	}
	// A replaced module is not what its users get, and a toolchain line keeps a fresh machine from building with the Go that it has.
	if found := regexp.MustCompile(`(?m)^\s*(replace|exclude|retract|toolchain)\b.*`).FindString(text); found != "" {
		t.Errorf("go.mod has %q", found)
	}
	direct := 0
	for line := range strings.SplitSeq(text, "\n") {
		if regexp.MustCompile(`^(require )?\s*[a-z0-9.]+\.[a-z]+\S* v\S+`).MatchString(line) && !strings.HasSuffix(line, "// indirect") {
			direct++
		}
	}
	if direct == 0 || direct > requiredMax {
		t.Errorf("go.mod requires %d modules directly; 1 to %d are expected", direct, requiredMax)
	}
}

func TestTheLicenceIsApaches(t *testing.T) {
	text := strings.Join(strings.Fields(read(t, "LICENSE")), " ")
	for _, words := range []string{"Apache License Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"} {
		if !strings.Contains(text, words) {
			t.Errorf("LICENSE does not contain %q", words)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
