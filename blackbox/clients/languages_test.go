package clients

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// language is a client library that plays the story in a program of its own.
type language struct {
	name     string
	programs []string // that the machine must have
	inputs   []string // files that decide what is installed
	// setup gives the commands that install into dir, the last of which makes it complete.
	setup func(from, dir string) [][]string
	// play is the program that plays, and what it needs in its environment.
	play func(from, dir string) (command, env []string)
}

var languages = []language{
	{
		name: "python", programs: []string{"python3"}, inputs: []string{"requirements.txt"},
		setup: func(from, dir string) [][]string {
			return [][]string{
				{"python3", "-m", "venv", dir},
				{filepath.Join(dir, "bin", "pip"), "install", "--quiet", "--requirement", filepath.Join(from, "requirements.txt")},
			}
		},
		play: func(from, dir string) (command, env []string) {
			return []string{filepath.Join(dir, "bin", "python"), filepath.Join(from, "story.py")}, nil
		},
	},
	{
		name: "node", programs: []string{"node", "npm"}, inputs: []string{"package.json", "package-lock.json"},
		setup: func(from, dir string) [][]string {
			return [][]string{
				{"cp", filepath.Join(from, "package.json"), filepath.Join(from, "package-lock.json"), dir},
				{"npm", "ci", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"},
			}
		},
		play: func(from, dir string) (command, env []string) {
			// Without this, the library looks for the servers of a cloud that it is not in, and waits for them.
			return []string{"node", filepath.Join(from, "story.js")}, []string{"STORY_MODULES=" + dir, "METADATA_SERVER_DETECTION=none"}
		},
	},
	{
		name: "java", programs: []string{"java", "mvn"}, inputs: []string{"pom.xml"},
		setup: func(from, dir string) [][]string {
			return [][]string{{
				"mvn", "--quiet", "--batch-mode", "--file", filepath.Join(from, "pom.xml"), "-Dmaven.repo.local=" + filepath.Join(dir, "repository"),
				"-DoutputDirectory=" + filepath.Join(dir, "lib"), "dependency:copy-dependencies",
			}}
		},
		play: func(from, dir string) (command, env []string) {
			return []string{"java", "-cp", filepath.Join(dir, "lib", "*"), filepath.Join(from, "Story.java")}, nil
		},
	},
}

// Time to install from a registry, and to play the story on a busy machine.
const (
	installTime = 8 * time.Minute
	playTime    = 3 * time.Minute
)

func TestLanguages(t *testing.T) {
	addr := address(t)
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			needs(t, l.programs...)
			dir := l.installed(t)
			t.Parallel()
			from, _ := here(t)
			command, env := l.play(filepath.Join(from, l.name), dir)
			args := append(command[1:], project(t, l.name))
			output, err := run(t, playTime, from, append(env, "PUBSUB_EMULATOR_HOST="+addr), command[0], append(args, story...)...)
			judge(t, output, err)
		})
	}
}

// complete is the file that says that an installation went to its end.
const complete = ".complete"

// installed gives the directory that the client is installed in, which has a name of its own for each set of inputs, and installs it there
// if that was asked for.
func (l *language) installed(t *testing.T) string {
	t.Helper()
	from, cache := here(t)
	from = filepath.Join(from, l.name)
	dir := filepath.Join(cache, l.name+"-"+l.identity(t, from))
	if _, err := os.Stat(filepath.Join(dir, complete)); err == nil {
		return dir
	}
	if !*install && !inCI() {
		missing(t, "not installed: run go test ./blackbox/clients -install")
	}
	if err := os.RemoveAll(dir); err != nil { // what was left half done
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, command := range l.setup(from, dir) {
		if output, err := run(t, installTime, from, nil, command[0], command[1:]...); err != nil {
			t.Fatalf("install: %q: %v\n%s", command, err, output)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, complete), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// identity is a digest of what decides what is installed.
func (l *language) identity(t *testing.T, from string) string {
	t.Helper()
	digest := sha256.New()
	for _, name := range l.inputs {
		content, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		digest.Write(content)
	}
	return hex.EncodeToString(digest.Sum(nil)[:6])
}
