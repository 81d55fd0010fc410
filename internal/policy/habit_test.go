package policy

import (
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// drawers are names of packages that say nothing about what is in them.
var drawers = []string{"util", "utils", "common", "helper", "helpers", "tool", "tools", "type", "types", "misc", "shared", "base", "core"}

func TestPackagesHaveNamesThatSayWhatIsInThem(t *testing.T) {
	for _, file := range load(t).code {
		name := strings.TrimSuffix(file.ast.Name.Name, "_test")
		if slices.Contains(drawers, name) || slices.Contains(drawers, path.Base(file.pkg)) {
			t.Errorf("%s: a package called %s may hold anything", file.name, name)
		}
		if name != "main" && file.pkg != "." && name != path.Base(file.pkg) {
			t.Errorf("%s: package %s is in a directory of another name", file.name, name)
		}
	}
}

// Initialization that nobody called for happens in an order that nobody sees, in tests and in tools too.
func TestNothingRunsByBeingImported(t *testing.T) {
	tree := load(t)
	for _, file := range tree.code {
		if file.generated {
			continue // messages must be known before anything can use them
		}
		for _, declared := range file.ast.Decls {
			if function, is := declared.(*ast.FuncDecl); is && function.Recv == nil && function.Name.Name == "init" {
				t.Errorf("%s: init function", tree.place(function.Pos()))
			}
		}
	}
}

// A panic says that this program broke one of its own rules. Everything else that goes wrong is an error.
func TestPanicsSayThatTheyAreBugs(t *testing.T) {
	tree := load(t)
	for _, file := range tree.code {
		if file.test || file.generated || !belongsTo(file.pkg, "internal") {
			continue
		}
		ast.Inspect(file.ast, func(node ast.Node) bool {
			call, is := node.(*ast.CallExpr)
			if !is || len(call.Args) != 1 {
				return true
			}
			if name, is := call.Fun.(*ast.Ident); is && name.Name == "panic" && !strings.HasPrefix(leadingText(call.Args[0]), "bug: ") {
				t.Errorf("%s: a panic whose text does not begin with \"bug: \"", tree.place(call.Pos()))
			}
			return true
		})
	}
}

// leadingText is what the text of an expression begins with, as far as that stands in the source: of a sum its first part, of a call,
// such as of a formatting function, its first argument.
func leadingText(expression ast.Expr) string {
	switch e := expression.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			if text, err := strconv.Unquote(e.Value); err == nil {
				return text
			}
		}
	case *ast.BinaryExpr:
		return leadingText(e.X)
	case *ast.ParenExpr:
		return leadingText(e.X)
	case *ast.CallExpr:
		if len(e.Args) > 0 {
			return leadingText(e.Args[0])
		}
	}
	return ""
}

// A place on one machine means nothing on another, and work left open belongs into an issue. The brackets keep these lines
// from being found by themselves.
var forbidden = []struct {
	what string
	form *regexp.Regexp
}{
	{"work left open", regexp.MustCompile(`\b([T]ODO|[F]IXME|[X]XX|[H]ACK)\b`)},
	{"a path of one machine", regexp.MustCompile(`(^|[\s"'(=:` + "`" + `])[/](root|home|Users|work|workspace)/\w`)},
	{"a merge that was not finished", regexp.MustCompile(`(?m)^([<]{7} |[>]{7} )`)},
}

func TestForbiddenWords(t *testing.T) {
	for _, name := range load(t).files {
		if strings.Contains("/"+name, "/testdata/fuzz/") || name == "go.sum" || name == "LICENSE" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(text) {
			continue
		}
		for _, word := range forbidden {
			for _, at := range word.form.FindAllIndex(text, -1) {
				line := 1 + strings.Count(string(text[:at[0]]), "\n")
				t.Errorf("%s:%d: %s: %s", name, line, word.what, strings.TrimSpace(string(text[at[0]:at[1]])))
			}
		}
	}
}

func TestForbiddenWordsAreFound(t *testing.T) {
	for _, text := range []string{"// TO" + "DO: later", "see /ho" + "me/me/x", "(/wo" + "rk/x", "a\n<<<<<" + "<< ours"} {
		if !slices.ContainsFunc(forbidden, func(word struct {
			what string
			form *regexp.Regexp
		}) bool {
			return word.form.MatchString(text)
		}) {
			t.Errorf("%q is not found", text)
		}
	}
}
