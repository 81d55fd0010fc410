package policy

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	module = "github.com/posthaste-io/posthaste"
	root   = "../.."
)

// source is one Go file of the repository.
type source struct {
	name      string // from the repository's root, with slashes
	pkg       string // its directory; "." is the root
	test      bool
	generated bool
	lines     int
	ast       *ast.File
}

// tree is the repository as its files are: all of them by name, and the Go files parsed.
type tree struct {
	fset  *token.FileSet
	files []string
	code  []*source
}

var loadTree = sync.OnceValues(func() (*tree, error) {
	names, err := listFiles()
	if err != nil {
		return nil, err
	}
	t := &tree{fset: token.NewFileSet(), files: names}
	for _, name := range names {
		if !strings.HasSuffix(name, ".go") || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		parsed, err := parser.ParseFile(t.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		t.code = append(t.code, &source{name: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
			generated: ast.IsGenerated(parsed), lines: bytes.Count(text, []byte("\n")), ast: parsed})
	}
	return t, nil
})

func load(t *testing.T) *tree {
	t.Helper()
	loaded, err := loadTree()
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded.code) < 50 {
		t.Fatalf("only %d Go files were found: the rules would hold of nothing", len(loaded.code))
	}
	return loaded
}

// listFiles asks git, which knows what is ignored, and walks the tree where there is no repository, as in an unpacked archive.
func listFiles() ([]string, error) {
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
	list.Dir = root
	if output, err := list.Output(); err == nil && len(output) > 0 {
		var names []string
		for name := range strings.SplitSeq(strings.TrimSuffix(string(output), "\x00"), "\x00") {
			if _, err := os.Stat(filepath.Join(root, name)); err == nil { // git still lists a file that was just removed
				names = append(names, name)
			}
		}
		return names, nil
	}
	var names []string
	return names, fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && name != "." && name != ".ci":
			return fs.SkipDir
		case entry.Type().IsRegular():
			names = append(names, name)
		}
		return nil
	})
}

func (t *tree) place(at token.Pos) string {
	position := t.fset.Position(at)
	return position.Filename + ":" + strconv.Itoa(position.Line)
}

func (s *source) imports() (paths []string) {
	for _, spec := range s.ast.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic("bug: policy: the parser let through the import " + spec.Path.Value)
		}
		paths = append(paths, imported)
	}
	return paths
}

// belongsTo reports whether a slash-separated name is the directory or lies in it.
func belongsTo(name, directory string) bool {
	return name == directory || strings.HasPrefix(name, directory+"/")
}
