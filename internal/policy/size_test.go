package policy

import (
	"go/ast"
	"testing"
)

// The bounds of style: a reader holds a function, a file and a package in mind. Tests count for functions and files alike, not for
// packages; generated code does not count.
const (
	functionLinesMax = 70
	fileLinesMax     = 600
	packageLinesMax  = 3000
)

func TestFunctionsAreShort(t *testing.T) {
	tree := load(t)
	for _, file := range tree.code {
		if file.generated {
			continue
		}
		for _, declared := range file.ast.Decls {
			function, is := declared.(*ast.FuncDecl)
			if !is {
				continue
			}
			if lines := tree.length(function) - tree.tableLines(function); lines > functionLinesMax {
				t.Errorf("%s: %s has %d lines, tables not counted; at most %d are allowed", tree.place(function.Pos()), function.Name.Name, lines, functionLinesMax)
			}
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, file := range load(t).code {
		if !file.generated && file.lines > fileLinesMax {
			t.Errorf("%s has %d lines; at most %d are allowed", file.name, file.lines, fileLinesMax)
		}
	}
}

func TestPackagesAreSmall(t *testing.T) {
	lines := make(map[string]int)
	for _, file := range load(t).code {
		if !file.generated && !file.test {
			lines[file.pkg] += file.lines
		}
	}
	for pkg, count := range lines {
		if count > packageLinesMax {
			t.Errorf("%s has %d lines without tests; at most %d are allowed", pkg, count, packageLinesMax)
		}
	}
}

func (t *tree) length(node ast.Node) int {
	return t.fset.Position(node.End()).Line - t.fset.Position(node.Pos()).Line + 1
}

// tableLines counts the lines of list and map literals: a table is read row by row, however long it is.
func (t *tree) tableLines(function *ast.FuncDecl) (lines int) {
	ast.Inspect(function, func(node ast.Node) bool {
		literal, is := node.(*ast.CompositeLit)
		if !is {
			return true
		}
		switch literal.Type.(type) {
		case *ast.ArrayType, *ast.MapType:
			lines += t.length(literal) - 1
			return false
		default:
			return true
		}
	})
	return lines
}
