package policy

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	said, has := make(map[string]bool), make(map[string]bool)
	for _, file := range load(t).code {
		name := strings.TrimSuffix(file.ast.Name.Name, "_test")
		has[file.pkg] = true
		begin := "Package " + name + " "
		if name == "main" {
			begin = "Command "
		}
		if strings.HasPrefix(file.ast.Doc.Text(), begin) {
			said[file.pkg] = true
		}
	}
	for pkg := range has {
		if !said[pkg] {
			t.Errorf("%s has no package comment (Package <name> ..., or Command <name> ... for a program)", pkg)
		}
	}
}

// wellKnown are methods that mean the same everywhere.
var wellKnown = []string{"Error", "Unwrap", "Is", "As", "String", "Close", "Len", "Less", "Swap", "Read", "Write", "ReadAt", "WriteAt",
	"MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText"}

func TestExportedIdentifiersAreDocumented(t *testing.T) {
	tree := load(t)
	for _, file := range tree.code {
		if file.test || file.generated || file.ast.Name.Name == "main" {
			continue
		}
		for _, declared := range file.ast.Decls {
			for _, bare := range undocumented(declared) {
				t.Errorf("%s: %s is exported and has no comment", tree.place(bare.Pos()), bare.Name)
			}
		}
	}
}

// undocumented gives the exported names of a declaration that nothing explains. The comment of a group of constants or variables
// explains all of them.
func undocumented(declared ast.Decl) (bare []*ast.Ident) {
	switch d := declared.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && receiverExported(d) && (d.Recv == nil || !slices.Contains(wellKnown, d.Name.Name)) {
			bare = append(bare, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					bare = append(bare, s.Name)
				}
			case *ast.ValueSpec:
				if d.Doc == nil && s.Doc == nil && s.Comment == nil && (d.Tok == token.CONST || d.Tok == token.VAR) {
					bare = append(bare, exported(s.Names)...)
				}
			}
		}
	}
	return bare
}

func exported(names []*ast.Ident) (some []*ast.Ident) {
	for _, name := range names {
		if name.IsExported() {
			some = append(some, name)
		}
	}
	return some
}

// receiverExported reports whether a function is one, or a method of an exported type.
func receiverExported(function *ast.FuncDecl) bool {
	if function.Recv == nil {
		return true
	}
	kind := function.Recv.List[0].Type
	for {
		switch k := kind.(type) {
		case *ast.StarExpr:
			kind = k.X
		case *ast.IndexExpr:
			kind = k.X
		case *ast.IndexListExpr:
			kind = k.X
		case *ast.Ident:
			return k.IsExported()
		default:
			return true
		}
	}
}
