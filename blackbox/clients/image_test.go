package clients

import (
	"debug/elf"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/chaos/process"
)

// instruction gives what stands behind a word at the beginning of a line of the Dockerfile, the last time that it does.
func instruction(t *testing.T, word string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "Dockerfile"))
	must(t, err)
	found := regexp.MustCompile(`(?m)^`+word+` (.*)$`).FindAllStringSubmatch(string(text), -1)
	if len(found) == 0 {
		t.Fatalf("the Dockerfile has no line that begins with %s", word)
	}
	return found[len(found)-1][1]
}

func TestTheImageIsBuiltWithTheGoOfTheModule(t *testing.T) {
	module, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	must(t, err)
	version := strings.TrimPrefix(instruction(t, "ARG"), "GO_VERSION=")
	if !strings.Contains(string(module), "\ngo "+version+".") {
		t.Errorf("the image is built with Go %s, go.mod says otherwise", version)
	}
}

// TestTheImageHoldsABrokerThatRunsAlone does without an engine for containers what the image does: it builds the binary with the image's
// own line, and runs the image's command and health check with nothing but the image's environment.
func TestTheImageHoldsABrokerThatRunsAlone(t *testing.T) {
	if !*install && !inCI() {
		missing(t, "builds a second binary: run go test ./blackbox/clients -install")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "posthaste")
	line := instruction(t, "RUN CGO_ENABLED=0")
	if output, err := run(t, installTime, filepath.Join("..", ".."), []string{"CGO_ENABLED=0"}, "sh", "-c", strings.Replace(line, "/out/posthaste", binary, 1)); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, output)
	}
	file, err := elf.Open(binary)
	must(t, err)
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary needs a dynamic linker, which the image has not")
		}
	}
	addr, err := process.FreeAddr()
	must(t, err)
	_, port, _ := strings.Cut(addr, ":")
	env := strings.NewReplacer(":8085", ":"+port, "/data", filepath.Join(dir, "data")).Replace(instruction(t, "ENV"))
	var check, entry, command []string
	_, checkText, _ := strings.Cut(instruction(t, "HEALTHCHECK"), "CMD ")
	must(t, json.Unmarshal([]byte(checkText), &check))
	must(t, json.Unmarshal([]byte(instruction(t, "ENTRYPOINT")), &entry))
	must(t, json.Unmarshal([]byte(instruction(t, "CMD")), &command))
	if entry[0] != "/posthaste" || check[0] != "/posthaste" {
		t.Fatalf("the image runs %v and checks with %v", entry, check)
	}
	quickest := time.Hour
	for range 5 {
		must(t, os.RemoveAll(filepath.Join(dir, "data")))
		b := startAlone(t, binary, append(entry[1:], command...), append(strings.Fields(env), "PUBSUB_PROJECT1=shop,orders:billing:audit,events"))
		began := time.Now()
		for {
			if output, err := run(t, patience, dir, strings.Fields(env), binary, check[1:]...); err == nil && output == "ready\n" {
				break
			} else if time.Since(began) > patience {
				t.Fatalf("not healthy: %s%v", output, err)
			}
		}
		quickest = min(quickest, time.Since(began))
		output, err := run(t, patience, dir, nil, binary, "topic", "describe", "orders", "--subscriptions", "--project", "shop", "--addr", addr)
		if err != nil || output != "projects/shop/subscriptions/audit\nprojects/shop/subscriptions/billing\n" {
			t.Errorf("declared by the environment: %v\n%s", err, output)
		}
		b.stop(t)
	}
	t.Logf("healthy, with what the environment declares, after %s", quickest)
	// The bound is for a machine that does nothing else; one of five starts should have it nearly to itself.
	if limit := 100 * time.Millisecond; quickest > limit {
		t.Errorf("healthy after %s at best, want less than %s", quickest, limit)
	}
}
