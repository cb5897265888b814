package mutants

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"math/bits"
	"sort"
	"strconv"
	"strings"
)

// swaps are the operators that take the place of an operator, by kind.
var swaps = map[token.Token]struct {
	kind string
	with []token.Token
}{
	token.ADD:            {"arithmetic", []token.Token{token.SUB}},
	token.SUB:            {"arithmetic", []token.Token{token.ADD}},
	token.MUL:            {"arithmetic", []token.Token{token.ADD}},
	token.QUO:            {"arithmetic", []token.Token{token.MUL}},
	token.REM:            {"arithmetic", []token.Token{token.QUO}},
	token.AND:            {"bitwise", []token.Token{token.OR, token.AND_NOT}},
	token.OR:             {"bitwise", []token.Token{token.AND, token.AND_NOT}}, // ^ is the same where bits are put together
	token.XOR:            {"bitwise", []token.Token{token.OR, token.AND}},
	token.AND_NOT:        {"bitwise", []token.Token{token.AND}},
	token.SHL:            {"bitwise", []token.Token{token.SHR}},
	token.SHR:            {"bitwise", []token.Token{token.SHL}},
	token.EQL:            {"compare", []token.Token{token.NEQ}},
	token.NEQ:            {"compare", []token.Token{token.EQL}},
	token.LSS:            {"compare", []token.Token{token.LEQ, token.GEQ}},
	token.LEQ:            {"compare", []token.Token{token.LSS, token.GTR}},
	token.GTR:            {"compare", []token.Token{token.GEQ, token.LEQ}},
	token.GEQ:            {"compare", []token.Token{token.GTR, token.LSS}},
	token.LAND:           {"logic", []token.Token{token.LOR}},
	token.LOR:            {"logic", []token.Token{token.LAND}},
	token.ADD_ASSIGN:     {"assign", []token.Token{token.SUB_ASSIGN, token.ASSIGN}},
	token.SUB_ASSIGN:     {"assign", []token.Token{token.ADD_ASSIGN, token.ASSIGN}},
	token.OR_ASSIGN:      {"assign", []token.Token{token.AND_NOT_ASSIGN, token.ASSIGN}},
	token.AND_ASSIGN:     {"assign", []token.Token{token.OR_ASSIGN, token.ASSIGN}},
	token.XOR_ASSIGN:     {"assign", []token.Token{token.OR_ASSIGN, token.ASSIGN}},
	token.AND_NOT_ASSIGN: {"assign", []token.Token{token.OR_ASSIGN, token.ASSIGN}},
	token.SHL_ASSIGN:     {"assign", []token.Token{token.SHR_ASSIGN}},
	token.SHR_ASSIGN:     {"assign", []token.Token{token.SHL_ASSIGN}},
}

// finder walks the units of one file and collects what could be mutated.
type finder struct {
	src   *Source
	pkg   *Package
	file  *File
	scope *Scope
	unit  unit
	stack []ast.Node
	found []*Mutant
}

// Candidates lists every mutant that the operators can make of the source and
// that the scope allows, in the order of the source.
func (s *Source) Candidates(scope *Scope) []*Mutant {
	var all []*Mutant
	for _, p := range s.Packages {
		for _, f := range p.Files {
			fd := &finder{src: s, pkg: p, file: f, scope: scope}
			for _, u := range s.units(f) {
				fd.unit = u
				fd.stack = fd.stack[:0]
				ast.Inspect(u.node, fd.visit)
			}
			all = append(all, fd.found...)
		}
	}
	return all
}

func (f *finder) visit(n ast.Node) bool {
	if n == nil {
		f.stack = f.stack[:len(f.stack)-1]
		return true
	}
	switch n := n.(type) {
	case *ast.ArrayType, *ast.StructType, *ast.FuncType, *ast.InterfaceType:
		return false // types, not code; Inspect sends no nil for these
	case *ast.BinaryExpr:
		f.binary(n)
	case *ast.UnaryExpr:
		f.unary(n)
	case *ast.BasicLit:
		f.literal(n)
	case *ast.Ident:
		f.ident(n)
	case *ast.SelectorExpr:
		f.sibling(n, n.Sel)
	case *ast.CallExpr:
		f.call(n)
	case *ast.IfStmt:
		f.condition(n)
	case *ast.ExprStmt, *ast.IncDecStmt:
		f.statement(n.(ast.Stmt))
	case *ast.AssignStmt:
		f.assign(n)
	case *ast.ReturnStmt:
		f.returns(n)
	case *ast.CaseClause:
		f.clause(n)
	case *ast.CompositeLit:
		f.composite(n)
	}
	f.stack = append(f.stack, n)
	return true
}

// add records a mutant unless a rule of the scope leaves it out.
func (f *finder) add(kind string, start, end token.Pos, text string) {
	m := &Mutant{
		Package: strings.TrimPrefix(f.pkg.Path, f.src.Module+"/"),
		File:    f.file, Line: f.src.Fset.PositionFor(start, false).Line,
		Func: f.unit.name, Kind: kind,
		Start: f.src.offset(start), End: f.src.offset(end), Text: text, unit: f.unit,
	}
	if f.scope.allows(&site{Mutant: m, code: f}) {
		f.found = append(f.found, m)
	}
}

func (f *finder) text(n ast.Node) string {
	return string(f.file.Src[f.src.offset(n.Pos()):f.src.offset(n.End())])
}

func (f *finder) typeOf(e ast.Expr) types.Type { return f.pkg.Info.Types[e].Type }

// basic returns the basic type below the expression's, or nil.
func (f *finder) basic(e ast.Expr) *types.Basic {
	t := f.typeOf(e)
	if t == nil {
		return nil
	}
	b, _ := t.Underlying().(*types.Basic)
	return b
}

func (f *finder) isString(e ast.Expr) bool {
	b := f.basic(e)
	return b != nil && b.Info()&types.IsString != 0
}

func (f *finder) binary(n *ast.BinaryExpr) {
	if f.isString(n.X) {
		return
	}
	s := swaps[n.Op]
	end := n.OpPos + token.Pos(len(n.Op.String()))
	for _, op := range s.with {
		f.add(s.kind, n.OpPos, end, op.String())
	}
	if s.kind == "logic" {
		f.add("drop-operand", n.Pos(), n.End(), f.text(n.X))
		f.add("drop-operand", n.Pos(), n.End(), f.text(n.Y))
	}
}

func (f *finder) unary(n *ast.UnaryExpr) {
	switch n.Op {
	case token.NOT, token.XOR, token.SUB:
		f.add("unary", n.Pos(), n.End(), f.text(n.X))
	}
}

// literal moves an integer by one and, in a mask, clears its outer bits.
func (f *finder) literal(n *ast.BasicLit) {
	if n.Kind != token.INT {
		return
	}
	v, err := strconv.ParseUint(n.Value, 0, 64)
	if err != nil {
		return
	}
	form := "%d"
	if strings.HasPrefix(n.Value, "0x") {
		form = "%#x"
	}
	f.add("constant", n.Pos(), n.End(), fmt.Sprintf(form, v+1))
	if v > 0 {
		f.add("constant", n.Pos(), n.End(), fmt.Sprintf(form, v-1))
	}
	if form == "%#x" && bits.OnesCount64(v) > 1 {
		f.add("mask", n.Pos(), n.End(), fmt.Sprintf(form, v&(v-1)))
		f.add("mask", n.Pos(), n.End(), fmt.Sprintf(form, v&^(1<<(bits.Len64(v)-1))))
	}
}

func (f *finder) ident(n *ast.Ident) {
	if len(f.stack) > 0 {
		switch p := f.stack[len(f.stack)-1].(type) {
		case *ast.SelectorExpr:
			return // seen as a selector
		case *ast.KeyValueExpr:
			if p.Key == n {
				return
			}
		}
	}
	switch f.pkg.Info.Uses[n] {
	case types.Universe.Lookup("true"):
		f.add("bool", n.Pos(), n.End(), "false")
		return
	case types.Universe.Lookup("false"):
		f.add("bool", n.Pos(), n.End(), "true")
		return
	}
	f.sibling(n, n)
}

// sibling puts the next named constant in the place of one: another flag,
// register, segment, size. Constants are siblings if they have one named type,
// or, untyped, if their values are neighbours.
func (f *finder) sibling(n ast.Expr, name *ast.Ident) {
	c, ok := f.pkg.Info.Uses[name].(*types.Const)
	if !ok || c.Pkg() == nil || c.Val().Kind() != constant.Int {
		return
	}
	var list []*types.Const
	scope := c.Pkg().Scope()
	for _, other := range scope.Names() {
		o, ok := scope.Lookup(other).(*types.Const)
		if ok && types.Identical(o.Type(), c.Type()) && (o.Exported() || o.Pkg() == f.pkg.Types) {
			list = append(list, o)
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return constant.Compare(list[i].Val(), token.LSS, list[j].Val()) })
	at := -1
	for i, o := range list {
		if o == c {
			at = i
		}
	}
	if at < 0 {
		return
	}
	_, untyped := c.Type().(*types.Basic)
	for step := 1; step < len(list); step++ {
		o := list[(at+step)%len(list)]
		if constant.Compare(o.Val(), token.EQL, c.Val()) {
			continue
		}
		if untyped {
			d := constant.BinaryOp(o.Val(), token.SUB, c.Val())
			if v, ok := constant.Int64Val(d); !ok || v < -1 || v > 1 {
				return
			}
		}
		text := o.Name()
		if sel, ok := n.(*ast.SelectorExpr); ok {
			text = f.text(sel.X) + "." + text
		}
		f.add("sibling", n.Pos(), n.End(), text)
		return
	}
}

var narrower = map[string]string{
	"uint64": "uint32", "uint32": "uint16", "uint16": "uint8", "int64": "int32", "int32": "int16", "int16": "int8",
}

var widths = map[string]int{"uint32": 32, "uint16": 16, "uint8": 8, "int32": 32, "int16": 16, "int8": 8}

// bits returns how many bits an expression of integer type may need: of int
// and uint, which count, and of flags, few.
func (f *finder) bits(e ast.Expr) int {
	t := f.typeOf(e)
	if named, ok := t.(*types.Named); ok && named.Obj().Name() == "Flags" {
		return 32
	}
	if types.Identical(t, types.Typ[types.Int]) || types.Identical(t, types.Typ[types.Uint]) {
		return 8
	}
	if b := f.basic(e); b != nil && b.Info()&types.IsInteger != 0 {
		return 8 * int(types.SizesFor("gc", "amd64").Sizeof(b))
	}
	return 0
}

var otherSign = map[string]string{
	"uint64": "int64", "uint32": "int32", "uint16": "int16", "uint8": "int8", "byte": "int8",
	"int64": "uint64", "int32": "uint32", "int16": "uint16", "int8": "uint8",
}

// call narrows conversions and changes their sign, and swaps neighbouring
// arguments of one type.
func (f *finder) call(n *ast.CallExpr) {
	if f.pkg.Info.Types[n.Fun].IsType() {
		name := f.text(n.Fun)
		if len(n.Args) != 1 || f.pkg.Info.Types[n.Args[0]].Value != nil {
			return
		}
		arg := f.text(n.Args[0])
		if w := narrower[name]; w != "" && f.bits(n.Args[0]) > widths[w] {
			f.add("width", n.Pos(), n.End(), fmt.Sprintf("%s(%s(%s))", name, w, arg))
		}
		if s := otherSign[name]; s != "" {
			f.add("sign", n.Pos(), n.End(), fmt.Sprintf("%s(%s)", s, arg))
		}
		return
	}
	if name := f.text(n.Fun); name == "min" || name == "max" {
		return // their arguments can be swapped
	}
	for i := 1; i < len(n.Args); i++ {
		a, b := n.Args[i-1], n.Args[i]
		ta, tb := f.typeOf(a), f.typeOf(b)
		if ta == nil || tb == nil || !types.Identical(types.Default(ta), types.Default(tb)) || f.text(a) == f.text(b) {
			continue
		}
		f.add("swap-arguments", a.Pos(), b.End(), f.text(b)+", "+f.text(a))
	}
}

// condition makes a check fire always, never, or the other way round.
func (f *finder) condition(n *ast.IfStmt) {
	c := f.text(n.Cond)
	f.add("negate", n.Cond.Pos(), n.Cond.End(), "!("+c+")")
	f.add("drop-check", n.Cond.Pos(), n.Cond.End(), "("+c+") && false")
	f.add("force-check", n.Cond.Pos(), n.Cond.End(), "("+c+") || true")
}

// statement drops a call, an increment.
func (f *finder) statement(n ast.Stmt) {
	f.add("drop-statement", n.Pos(), n.End(), "")
	if inc, ok := n.(*ast.IncDecStmt); ok {
		op := "--"
		if inc.Tok == token.DEC {
			op = "++"
		}
		f.add("assign", inc.TokPos, inc.End(), op)
	}
}

func (f *finder) assign(n *ast.AssignStmt) {
	if n.Tok == token.DEFINE {
		return
	}
	if len(f.stack) > 0 {
		switch p := f.stack[len(f.stack)-1].(type) {
		case *ast.BlockStmt, *ast.CaseClause, *ast.IfStmt:
			if i, ok := p.(*ast.IfStmt); !ok || i.Init != n {
				f.add("drop-statement", n.Pos(), n.End(), "")
			}
		}
	}
	s := swaps[n.Tok]
	if len(n.Lhs) == 1 && !f.isString(n.Lhs[0]) {
		for _, op := range s.with {
			f.add(s.kind, n.TokPos, n.TokPos+token.Pos(len(n.Tok.String())), op.String())
		}
	}
}

// returns drops a bare return and inverts a boolean one.
func (f *finder) returns(n *ast.ReturnStmt) {
	if len(n.Results) == 0 {
		f.add("drop-return", n.Pos(), n.End(), "")
	}
	for _, r := range n.Results {
		if b := f.basic(r); b != nil && b.Info()&types.IsBoolean != 0 && f.pkg.Info.Types[r].Value == nil {
			f.add("negate", r.Pos(), r.End(), "!("+f.text(r)+")")
		}
	}
}

// clause drops one of several values of a case, and the body of a case.
func (f *finder) clause(n *ast.CaseClause) {
	if len(n.List) > 1 {
		for i, e := range n.List {
			if i+1 < len(n.List) {
				f.add("drop-case", e.Pos(), n.List[i+1].Pos(), "")
			} else {
				f.add("drop-case", n.List[i-1].End(), e.End(), "")
			}
		}
	}
	if len(n.Body) > 0 {
		f.add("drop-case", n.Body[0].Pos(), n.Body[len(n.Body)-1].End(), "")
	}
}

// composite drops a field of a struct literal.
func (f *finder) composite(n *ast.CompositeLit) {
	t := f.typeOf(n)
	if t == nil {
		return
	}
	if _, ok := t.Underlying().(*types.Struct); !ok {
		return
	}
	for i, e := range n.Elts {
		if _, ok := e.(*ast.KeyValueExpr); !ok {
			return
		}
		end := e.End()
		if i+1 < len(n.Elts) {
			end = n.Elts[i+1].Pos()
		}
		f.add("drop-field", e.Pos(), end, "")
	}
}
