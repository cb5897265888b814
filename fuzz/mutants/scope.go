package mutants

import (
	"go/ast"
	"go/types"
	"path"
	"strings"
)

// Rule leaves sites out of the draw, for a reason that is written down, and
// counts what it left out.
type Rule struct {
	Name, Why string
	match     func(f *finder, m *Mutant) bool
	// Left is the number of mutants that the rule left out.
	Left int
}

// Scope is the rules that say which sites are not drawn. Whatever they do not
// name is drawn, reached by the campaign or not: a site that the campaign
// cannot reach is the harness's weakness, unless a rule says why it is not.
type Scope struct{ Rules []*Rule }

// allows says whether a mutant may be drawn; the first rule that matches
// counts it.
func (s *Scope) allows(f *finder, m *Mutant) bool {
	for _, r := range s.Rules {
		if r.match(f, m) {
			r.Left++
			return false
		}
	}
	return true
}

// Without returns a scope without the rules of those names.
func (s *Scope) Without(names ...string) *Scope {
	out := &Scope{}
next:
	for _, r := range s.Rules {
		for _, n := range names {
			if r.Name == n {
				continue next
			}
		}
		out.Rules = append(out.Rules, r)
	}
	return out
}

// ModelScope is the scope of the model's packages.
func ModelScope() *Scope {
	return &Scope{Rules: []*Rule{
		{Name: "generated code", Why: "the instruction table is mutated row by row instead", match: func(f *finder, _ *Mutant) bool {
			return ast.IsGenerated(f.file.AST)
		}},
		{Name: "constant declarations", Why: "a constant cannot be chosen at run time; the places that use it are mutated instead", match: func(f *finder, _ *Mutant) bool {
			return f.unit.constant
		}},
		{Name: "words for people", Why: "names, disassembly text and error messages are not behaviour", match: func(f *finder, _ *Mutant) bool {
			return f.inText()
		}},
	}}
}

// inText says whether the site makes text: a function that returns or takes a
// buffer of text, or the arguments of panic and of package fmt.
func (f *finder) inText() bool {
	name := f.unit.name
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	for _, w := range []string{"String", "Text", "AppendText", "Error", "GoString"} {
		if name == w {
			return true
		}
	}
	if sig := f.unit.signature; sig != nil {
		for i := range sig.Results().Len() {
			b, ok := sig.Results().At(i).Type().Underlying().(*types.Basic)
			if ok && b.Info()&types.IsString != 0 {
				return true
			}
		}
	}
	for _, n := range f.stack {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			continue
		}
		switch fun := call.Fun.(type) {
		case *ast.Ident:
			if fun.Name == "panic" {
				return true
			}
		case *ast.SelectorExpr:
			if x, ok := fun.X.(*ast.Ident); ok && (x.Name == "fmt" || x.Name == "errors") {
				return true
			}
		}
	}
	return false
}

// inFile says whether the site's file has one of the base names.
func (f *finder) inFile(names ...string) bool {
	base := path.Base(f.file.Rel)
	for _, n := range names {
		if base == n {
			return true
		}
	}
	return false
}
