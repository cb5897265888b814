package mutants

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"sort"
	"strings"
)

// Environment names the variable that chooses the mutant a process runs.
const Environment = "RINGFENCE_MUTANT"

// chooser is the variable that holds the number of the mutant, in every
// package that is woven. Its zero is the unmutated model.
const chooser = "mutantChosen"

// unit is a piece of code that can be woven: a function's body, or a value of
// a package-level variable.
type unit struct {
	name string
	// node is what the operators walk: the body, or the value.
	node ast.Node
	// body is nil for a value.
	body      *ast.BlockStmt
	signature *types.Signature
	// constant is set for what cannot be woven: constant declarations.
	constant bool
}

// units lists what can be woven in a file, in the order of the source. A
// function literal within a package-level value is a unit of its own.
func (s *Source) units(f *File) []unit {
	var list []unit
	for _, d := range f.AST.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Body != nil {
				u := unit{name: funcName(d), node: d.Body, body: d.Body}
				if obj := s.object(d.Name); obj != nil {
					u.signature, _ = obj.Type().(*types.Signature)
				}
				list = append(list, u)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok {
					list = append(list, valueUnits(d.Tok, v)...)
				}
			}
		}
	}
	return list
}

func (s *Source) object(id *ast.Ident) types.Object {
	for _, p := range s.Packages {
		if o := p.Info.Defs[id]; o != nil {
			return o
		}
	}
	return nil
}

func valueUnits(tok token.Token, v *ast.ValueSpec) []unit {
	var list []unit
	for i, value := range v.Values {
		name := v.Names[min(i, len(v.Names)-1)].Name
		list = append(list, unit{name: name, node: value, constant: tok == token.CONST || len(v.Values) != len(v.Names)})
		ast.Inspect(value, func(n ast.Node) bool {
			if lit, ok := n.(*ast.FuncLit); ok {
				list = append(list, unit{name: name, node: lit.Body, body: lit.Body})
				return false
			}
			return true
		})
	}
	return list
}

func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
			continue
		case *ast.IndexExpr:
			t = x.X
			continue
		case *ast.Ident:
			return x.Name + "." + d.Name.Name
		}
		return d.Name.Name
	}
}

// edit replaces a range of bytes of a file.
type edit struct {
	start, end int
	text       string
}

// apply returns src[start:end] with the edits within that range carried out;
// they do not overlap.
func apply(src []byte, start, end int, edits []edit) string {
	sort.Slice(edits, func(i, j int) bool { return edits[i].start < edits[j].start })
	var b strings.Builder
	at := start
	for _, e := range edits {
		b.Write(src[at:e.start])
		b.WriteString(e.text)
		at = e.end
	}
	b.Write(src[at:end])
	return b.String()
}

// weaver renders one file with its mutants in it.
type weaver struct {
	src  *Source
	pkg  *Package
	file *File
	by   map[ast.Node][]*Mutant // by unit
}

// span is the range of bytes of a woven file that belongs to a mutant.
type span struct {
	start, end int
	mutant     *Mutant
}

const (
	markOpen  = "/*mutant "
	markClose = "/*end mutant*/"
)

// weave returns the file's text with every mutant in it, chosen at run time.
func (w *weaver) weave() string {
	var edits []edit
	units := w.src.units(w.file)
	for i := range units {
		u := &units[i]
		if u.body == nil && len(w.by[u.node]) > 0 {
			edits = append(edits, w.value(u, units))
		}
	}
	for i := range units {
		u := &units[i]
		if u.body == nil || len(w.by[u.node]) == 0 {
			continue
		}
		e := w.function(u)
		inside := false
		for _, v := range edits {
			inside = inside || v.start <= e.start && e.end <= v.end
		}
		if !inside {
			edits = append(edits, e)
		}
	}
	return apply(w.file.Src, 0, len(w.file.Src), edits)
}

// function replaces the inside of a body by a switch over the mutants. The
// original body is the default, so that a copy which does not end in a
// terminating statement is a compile error and not a fall into the original.
func (w *weaver) function(u *unit) edit {
	start, end := w.src.offset(u.body.Lbrace)+1, w.src.offset(u.body.Rbrace)
	labels := w.labels(u.body)
	var b strings.Builder
	fmt.Fprintf(&b, " switch %s {\n", chooser)
	for _, m := range w.by[u.node] {
		edits := []edit{{m.Start, m.End, m.Text}}
		for _, l := range labels {
			if l.start < m.Start || l.start >= m.End {
				edits = append(edits, edit{l.start, l.end, fmt.Sprintf("%s_m%d", l.text, m.ID)})
			}
		}
		fmt.Fprintf(&b, "case %d: %s%d*/\n%s\n%s\n", m.ID, markOpen, m.ID, apply(w.file.Src, start, end, edits), markClose)
	}
	fmt.Fprintf(&b, "default:\n%s\n}\n", w.file.Src[start:end])
	return edit{start, end, b.String()}
}

// labels returns the places where a body names a label: two copies in one
// function need two names.
func (w *weaver) labels(body *ast.BlockStmt) []edit {
	var list []edit
	add := func(id *ast.Ident) {
		start := w.src.offset(id.Pos())
		list = append(list, edit{start, start + len(id.Name), id.Name})
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.LabeledStmt:
			add(n.Label)
		case *ast.BranchStmt:
			if n.Label != nil {
				add(n.Label)
			}
		}
		return true
	})
	return list
}

// value replaces the value of a variable by a call that chooses it.
func (w *weaver) value(u *unit, units []unit) edit {
	expr := u.node.(ast.Expr)
	start, end := w.src.offset(expr.Pos()), w.src.offset(expr.End())
	var inner []edit // function literals within, with mutants of their own
	for i := range units {
		v := &units[i]
		if v.body != nil && len(w.by[v.node]) > 0 && expr.Pos() <= v.node.Pos() && v.node.End() <= expr.End() {
			inner = append(inner, w.function(v))
		}
	}
	t := types.TypeString(w.pkg.Info.Types[expr].Type, func(p *types.Package) string {
		if p == w.pkg.Types {
			return ""
		}
		return p.Name()
	})
	var b strings.Builder
	fmt.Fprintf(&b, "func() %s { switch %s {\n", t, chooser)
	for _, m := range w.by[u.node] {
		fmt.Fprintf(&b, "case %d: %s%d*/ return %s %s\n", m.ID, markOpen, m.ID, apply(w.file.Src, start, end, []edit{{m.Start, m.End, m.Text}}), markClose)
	}
	fmt.Fprintf(&b, "default: return %s\n} }()", apply(w.file.Src, start, end, inner))
	return edit{start, end, b.String()}
}

// spans finds the marks that the weaver left.
func spans(text []byte, byID map[int]*Mutant) []span {
	var list []span
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte(markOpen))
		if i < 0 {
			return list
		}
		start := at + i
		var id int
		fmt.Sscanf(string(text[start+len(markOpen):min(len(text), start+len(markOpen)+12)]), "%d*/", &id)
		end := start + bytes.Index(text[start:], []byte(markClose))
		list = append(list, span{start, end, byID[id]})
		at = end
	}
}

// Woven is a set of mutants in one overlay. Mutants of the table that move
// the decoder's index are not in it: each is a build of its own.
type Woven struct {
	Mutants []*Mutant
	module  string
	// Files maps paths below the module's folder to their new content.
	Files map[string]string
}

// Weave puts the mutants, which must have distinct IDs, into one overlay.
// Mutants that do not compile are returned as rejected, each with the
// compiler's words; then the overlay is nil and the caller draws others.
// base is the package, below all others, that gets the choice.
func (s *Source) Weave(base string, mutants []*Mutant) (*Woven, map[*Mutant]string, error) {
	w := &Woven{Mutants: mutants, module: s.Module, Files: map[string]string{}}
	byID := map[int]*Mutant{}
	for _, m := range mutants {
		if m.ID == 0 || byID[m.ID] != nil {
			return nil, nil, fmt.Errorf("mutant at %s: ID %d is not free", m.Where(), m.ID)
		}
		byID[m.ID] = m
	}
	rejected := map[*Mutant]string{}
	for _, p := range s.Packages {
		if err := s.weavePackage(w, p, base, byID, rejected); err != nil {
			return nil, nil, err
		}
	}
	for _, m := range mutants {
		if m.patch != "" {
			w.choose(m.Package, base)
			break
		}
	}
	if len(rejected) > 0 {
		return nil, rejected, nil
	}
	w.Files[base+"/zz_mutant_base.go"] = baseFile(base)
	return w, nil, nil
}

func (s *Source) weavePackage(w *Woven, p *Package, base string, byID map[int]*Mutant, rejected map[*Mutant]string) error {
	c := &checker{fset: token.NewFileSet(), texts: map[string][]byte{}, byID: byID, rejected: rejected}
	var asts []*ast.File
	changed := false
	for _, f := range p.Files {
		wv := &weaver{src: s, pkg: p, file: f, by: map[ast.Node][]*Mutant{}}
		for _, m := range w.Mutants {
			if m.File == f {
				wv.by[m.unit.node] = append(wv.by[m.unit.node], m)
			}
		}
		text := string(f.Src)
		if len(wv.by) > 0 {
			text, changed = wv.weave(), true
			w.Files[f.Rel] = text
		}
		c.texts[f.Rel] = []byte(text)
		a, err := parser.ParseFile(c.fset, f.Rel, text, parser.SkipObjectResolution)
		var list scanner.ErrorList
		if errors.As(err, &list) {
			c.report(list[0].Pos.Filename, list[0].Pos.Offset, list[0].Msg)
			continue
		}
		asts = append(asts, a)
	}
	if !changed {
		return nil
	}
	rel := strings.TrimPrefix(p.Path, s.Module+"/")
	w.choose(rel, base)
	stub, err := parser.ParseFile(c.fset, rel+"/zz_mutant.go", fmt.Sprintf("package %s\n\nvar %s int\n", p.Name, chooser), 0)
	if err != nil {
		return err
	}
	if len(rejected) == 0 {
		s.check(p.Path, c.fset, append(asts, stub), nil, func(err error) {
			var te types.Error
			if errors.As(err, &te) {
				pos := c.fset.PositionFor(te.Pos, false)
				c.report(pos.Filename, pos.Offset, te.Msg)
			} else {
				c.stray = err
			}
		})
	}
	if c.stray != nil && len(rejected) == 0 {
		return fmt.Errorf("woven %s does not compile: %w", p.Path, c.stray)
	}
	return nil
}

// checker maps the compiler's errors to the mutants that caused them.
type checker struct {
	fset     *token.FileSet
	texts    map[string][]byte // by file name
	byID     map[int]*Mutant
	rejected map[*Mutant]string
	stray    error
}

func (c *checker) report(file string, offset int, msg string) {
	text := c.texts[file]
	list := spans(text, c.byID)
	for _, sp := range list {
		if sp.mutant != nil && sp.start <= offset && offset < sp.end+len(markClose)+2 {
			c.rejected[sp.mutant] = msg
			return
		}
	}
	// "missing return" stands at the end of the function that holds the
	// copies. Only mutants that take statements away can cause it.
	found := false
	for i := len(list) - 1; i >= 0; i-- {
		sp := list[i]
		if sp.end > offset || bytes.Contains(text[sp.end:offset], []byte("\nfunc ")) {
			continue
		}
		if k := sp.mutant.Kind; k == "drop-case" || k == "drop-statement" {
			c.rejected[sp.mutant] = msg
			found = true
		}
	}
	if !found && c.stray == nil {
		c.stray = fmt.Errorf("%s, byte %d: %s", file, offset, msg)
	}
}

// choose adds the file that gives a package its choice, with what mutants of
// the table change in it.
func (w *Woven) choose(pkg, base string) {
	name, baseName := pkg[strings.LastIndexByte(pkg, '/')+1:], base[strings.LastIndexByte(base, '/')+1:]
	var b strings.Builder
	fmt.Fprintf(&b, "package %s\n\nimport %s %q\n\nvar %s = %s.MutantChosen\n", name, baseName, w.module+"/"+base, chooser, baseName)
	fmt.Fprintf(&b, "\nfunc init() {\nswitch %s {\n", chooser)
	for _, m := range w.Mutants {
		if m.Package == pkg && m.patch != "" {
			fmt.Fprintf(&b, "case %d:\n%s", m.ID, m.patch)
		}
	}
	b.WriteString("}\n}\n")
	w.Files[pkg+"/zz_mutant.go"] = b.String()
}

func baseFile(base string) string {
	name := base[strings.LastIndexByte(base, '/')+1:]
	return fmt.Sprintf(`package %s

import (
	"os"
	"strconv"
)

// MutantChosen is the number of the mutant that this process runs.
var MutantChosen = func() int { n, _ := strconv.Atoi(os.Getenv(%q)); return n }()
`, name, Environment)
}
