package mutants

import (
	"fmt"
	"go/ast"
	"go/types"
	"path"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// Rule leaves sites out of the draw, for a reason that is written down, and
// counts what it left out.
type Rule struct {
	Name, Why string
	match     func(s *site) bool
	// Left is the number of mutants that the rule left out.
	Left int
	// places are what a rule by places names, left how many each left out.
	places []place
	left   []int
}

// site is where a mutant would be: in Go source, or in a row of the table.
type site struct {
	*Mutant
	code *finder
	row  *rowFinder
}

// Scope is the rules that say which sites are not drawn. Whatever they do not
// name is drawn, reached by the campaign or not: a site that the campaign
// cannot reach is the harness's weakness, unless a rule says why it is not.
type Scope struct{ Rules []*Rule }

// allows says whether a mutant may be drawn; the first rule that matches
// counts it.
func (s *Scope) allows(at *site) bool {
	for _, r := range s.Rules {
		if r.match(at) {
			r.Left++
			return false
		}
	}
	return true
}

// String lists the rules and how many mutants each left out.
func (s *Scope) String() string {
	var b strings.Builder
	for _, r := range s.Rules {
		fmt.Fprintf(&b, "not drawn: %d of %s: %s\n", r.Left, r.Name, r.Why)
	}
	return b.String()
}

// ModelScope is the scope of the model's packages on this CPU.
func ModelScope() *Scope {
	cpu := silicon.Profile()
	return &Scope{Rules: []*Rule{
		{Name: "generated code", Why: "the instruction table is mutated row by row instead", match: func(s *site) bool {
			return s.code != nil && ast.IsGenerated(s.code.file.AST)
		}},
		{Name: "constant declarations", Why: "a constant cannot be chosen at run time; the places that use it are mutated instead", match: func(s *site) bool {
			return s.code != nil && s.code.unit.constant
		}},
		{Name: "words for people", Why: "names, disassembly and error messages are not behaviour", match: func(s *site) bool {
			return s.code != nil && (s.code.inText() || s.in(place{file: "text.go"}) || s.in(place{fn: "ParseOutcome"}) ||
				s.in(place{line: "in.fail(c, ", kind: "sibling"}) || s.in(place{line: "return 0, Undefined", kind: "sibling"}))
		}},
		places("the harness's own checks", "they judge the model and are judged by their own tests",
			place{file: "promise.go"}, place{file: "promise_repeat.go"}, place{file: "promise_deliver.go"}, place{file: "equal.go"}, place{file: "journal.go"}),
		places("a loop for callers", "the campaign's executor has its own",
			place{file: "run.go"}, place{fn: "Effects.Iterations"}),
		places("many iterations of a REP in one step", "the campaign's Bus does not offer the Repeat hooks; the emulator's tests hold them against one iteration a step",
			place{file: "repeat.go"}, place{when: "OpRepeat"}, place{dropped: "c.batched("}),
		places("delivery of events", "the campaign compares the event that is raised, and the handler is the kernel's; the emulator's tests hold delivery against the manual",
			place{file: "deliver.go"}),
		places("the generator's encoder, and helpers of the harness", "they make and name cases; wrong ones make other cases",
			place{file: "encode.go"}, place{file: "uncovered.go"}, place{fn: "PartialOf"}, place{fn: "Implemented"}, place{fn: "Inst.Operand"}, place{fn: "Inst.EffectiveAddress"}, place{fn: "Inst.Target"}, place{file: "shape.go"},
			place{line: "in.OpcodeOff = "}, place{line: "in.PrefixLen = "}, place{line: "in.ImmOff, in.ImmLen = "}, place{line: "in.DispOff, in.DispLen = "}),
		places("modes that user code cannot be in", "real and virtual-8086 mode have no reference on this side of a hypervisor",
			place{when: "c.State.Mode == x86.Real || c.State.Mode == x86.VM86"}, place{line: "noVEX: true"}, place{line: "x86.Real: "}, place{line: "x86.VM86: "}, place{line: "x86.Protected"}, place{fn: "Context.vm86Denied"}, place{line: "c.vm86Denied()"}, place{line: "c.State.Mode == x86.Real || c.State.Mode == x86.VM86"}, place{fn: "Context.ia32e"}, place{line: "c.ia32e()"}, place{dropped: "c.State.Mode == x86.Real"}),
		places("hooks that the reference Bus always offers, and answers it never gives", "FuzzContract's business: the campaign's Bus is whole and honest",
			place{file: "absent.go"}, place{fn: "Context.tableRead", line: "out != step.Exception"}, place{line: "c.ForceWriteback"}, place{line: "bus.Repeat("}, place{fn: "Context.validated"}, place{line: "step.HookValidate"}, place{dropped: "!c.ForceWriteback"}, place{when: "c.ForceWriteback"}, place{fn: "Context.need"}, place{fn: "Answer"}, place{fn: "Effects.refused"},
			place{when: "!c.need("}, place{fn: "Context.base", when: "cr4&cr4FSGSBASE == 0"}, place{fn: "Context.base", line: "cr4&cr4FSGSBASE == 0"}, place{line: "if !c.need(step.HookReadSegment | step.HookWriteSegment) {"},
			place{fn: "Emulator.decode", dropped: "out == Okay"}, place{fn: "finish", dropped: "out != Exception"}, place{fn: "finish", when: "out != Exception"}, place{fn: "Emulator.decode", line: "return Unhandleable"}, place{fn: "Context.base", line: "return seg"}, place{fn: "Emulator.decode", line: "n = max("}, place{dropped: "!c.need("}, place{forced: "c.need("}),
		places("room that never runs out", "capacities are asserted from the table by a test",
			place{when: "n >= step.MaxOps"}, place{when: "n >= step.MaxWide"}, place{when: "op == nil"}, place{forced: "op != nil"}, place{fn: "Effects.carryOut", line: "return Unhandleable"}, place{dropped: "n >= step.Max"},
			place{dropped: "op == nil"}, place{forced: "n < step.MaxAccesses"}),
		places("operations that CPL 3 cannot stage", "until the system instructions run",
			place{fn: "cli"}, place{fn: "sti"}, place{fn: "Context.ioplChecked"}, place{fn: "hlt"}, place{fn: "Context.portAllowed"}, place{fn: "Context.taskRead"},
			place{fn: "Context.port"}, place{fn: "in"}, place{fn: "out"}, place{fn: "ins"}, place{fn: "outs"}, place{fn: "Context.portOperation"}, place{fn: "Context.portSize"},
			place{fn: "Context.readPort"}, place{fn: "Context.writePort"}, place{fn: "Context.readPortAt"}, place{fn: "Context.writePortAt"},
			place{when: "OpWritePort"}, place{line: "bus.WritePort("}, place{line: "bus.WriteControl("}, place{line: "bus.WriteDebug("}, place{line: "bus.WriteXCR("}, place{line: "bus.WriteMSR("}, place{line: "bus.TLBOp("},
			place{when: "OpWriteControl"}, place{when: "OpWriteDebug"}, place{when: "OpWriteXCR"}, place{when: "OpWriteMSR"},
			place{when: "OpTLB"}, place{fn: "Context.loadFlags", when: "c.ioplAllows()"}, place{fn: "Context.loadFlags", when: "c.State.CPL == 0"}, place{fn: "Context.loadFlags", line: "c.State.CPL == 0"},
			place{fn: "segmentMove", line: "x86.ClassControl"}, place{fn: "Context.nullSegment", dropped: "uint8(selector&3) != c.State.CPL"}, place{fn: "Context.nullSegment", dropped: "c.State.Mode != x86.Long64"}, place{fn: "Context.nullSegment", line: "selector&3", kind: "bitwise"}, place{fn: "Effects.Apply", dropped: "fx.Ops[i].Index < x86.NumSegment"}, place{fn: "Effects.Apply", line: "< x86.NumSegment", kind: "sibling"}, place{fn: "Effects.Apply", line: "< x86.NumSegment", kind: "compare"},
			place{fn: "Context.codeSegment", line: "ret && uint8(selector&3) > c.State.CPL"}, place{fn: "Context.codeSegment", when: "ret && uint8(selector&3) > c.State.CPL"}),
		places("answers that differ from run to run", "the CPU's answer cannot be compared",
			place{fn: "rdtsc"}, place{fn: "rdtscp"}, place{fn: "rdpmc"}, place{fn: "xgetbv"}, place{fn: "rdpid"}, place{fn: "cpuid"}, place{fn: "Context.random"}, place{fn: "rdrand"}, place{fn: "rdseed"},
			place{fn: "Context.timestamp"}, place{fn: "Context.readMSR"}, place{fn: "Context.readControl"}, place{file: "table.go"}),
		places("code for CPUs of the other maker", "its turn comes on such a CPU",
			place{when: "c.amd()"}, place{line: "ctx: 3 << ctxMode"}, place{line: "x86.Long64:      {"}, place{line: "x86.Compat32:    {"}, place{forced: "c.amd()"}, place{fn: "infoOf", line: "vendor&1"}, place{dropped: "c.amd()"}, place{dropped: "!in.alternateCR8(p)"}, place{fn: "Inst.alternateCR8"}, place{fn: "cursor.suffix"}),
		{Name: "features that this CPU lacks", Why: "their turn comes on a CPU that has them", match: func(s *site) bool {
			if s.row != nil {
				f, err := isa.ParseFeature(strings.TrimSpace(s.row.cols[colFeature]))
				return err == nil && !cpu.Features.Has(f)
			}
			for _, l := range ofFeatures {
				if !cpu.Features.Has(l.feature) && s.in(l.place) {
					return true
				}
			}
			return false
		}},
		places("results and flags that the manuals leave undefined", "the comparison masks them; --strict compares them",
			place{fn: "bswap", when: "c.size == 2"}, place{fn: "bswap", line: "c.size == 2"}, place{when: "n > bits"}, place{fn: "Context.overflowRotate"}, place{fn: "Context.overflowLeft", line: "if c.amd()"},
			place{fn: "Context.overflowRight", line: "if c.amd()"}, place{fn: "Context.shifted", line: "af"}, place{fn: "Context.scan", line: "c.in[1] == 0"},
			place{fn: "Context.shifted", line: "if c.amd()"}, place{fn: "bextr", line: "x86.SF"}, place{file: "decimal.go", line: "c.setFlags(status"}, place{fn: "Context.scan", when: "c.in[1] == 0"}, place{fn: "Context.scanned", line: "parity"}, place{fn: "Context.multiplied", line: "if c.amd()"}, place{fn: "Context.multiplied", line: "szp"}),
		places("how far an undefined instruction is fetched", "only strings that the end of the code cuts show it, which the probe draws rarely; the test of fetched lengths in fuzz/diff has them all",
			place{file: "undefined.go"}, place{fn: "cursor.shortVEX"}, place{line: "c.reservedMap("}, place{line: "if h.imm2 != 0 && h.feature != 0"}, place{fn: "cursor.vex", line: "b&3 == 0"}),
		places("which cache operation", "it changes nothing that an instruction could read",
			place{line: "c.flush(Cache"}, place{line: "bus.CacheOp("}, place{fn: "Context.flush", when: "op != nil"}, place{when: "OpCache"}),
		places("the length of a string that is cut", "nothing depends on how many bytes were looked at",
			place{when: "c.pos >= len(c.code) || c.pos >= MaxLength"}, place{line: "if c.pos >= len(c.code) || c.pos >= MaxLength"}, place{fn: "Inst.fail"}, place{dropped: "c.pos > MaxLength"}),
		places("what an operand says of its access", "no other decoder says it; the promises hold the accesses against the table",
			place{file: "operand.go", line: "Access: o.Access"}),
		places("descriptors that Linux does not have", "the kernel gives user code a few, all of them accessed",
			place{fn: "Context.markAccessed"}, place{fn: "Context.lookUp", line: "ldt."}, place{fn: "Context.lookUp", when: "c.outcome != step.Okay || ldt."},
			place{fn: "Context.isGate"}, place{fn: "Context.branchAllowed", line: "x86.AttrExpand"}, place{fn: "Context.branchAllowed", line: "rpl >= cpl && dpl <= rpl"}, place{fn: "Context.checkDescriptor", line: "attr&x86.AttrS == 0"}, place{fn: "Context.checkDescriptor", dropped: "rpl > dpl"}, place{fn: "Context.visible"}, place{line: "typesOf("}, place{line: "c.isGate("}),
		places("limits of segments, and what a retired load of SS holds off", "64-bit code has no limits, and interrupts are the kernel's",
			place{fn: "unpack", line: "Limit"}, place{fn: "unpack", line: "x86.AttrG"},
			place{line: "RetireMovSS"}, place{fn: "Context.loadSegment", line: "if seg == x86.SS"}),
		places("EVEX, and vector, mask and tile registers", "until they have semantics their only judge is x86asm, which has faults of its own there",
			place{file: "evex.go"}, place{line: "hotTile"}, place{when: "h.flags&hotTile != 0"}, place{line: "evexB"}, place{line: "hotIs4"}, place{when: "h.flags&hotIs4 != 0"}, place{line: "vexAddrSize"}, place{fn: "Inst.tilesExist"}, place{fn: "Inst.distinct"}, place{line: "FPUDirty"}, place{when: "h.flags&hotVSIB != 0"}, place{when: "h.flags&hotMask != 0"}),
		{Name: "the flags column", Why: "it says what the comparison masks; the emulator's tests hold it against what steps change", match: func(s *site) bool {
			return s.Kind == "row-flags"
		}},
		{Name: "the implicit column", Why: "families name their implicit operands themselves", match: func(s *site) bool {
			return s.Kind == "row-implicit"
		}},
		{Name: "the feature column", Why: "dropping a feature shows only on a CPU without it", match: func(s *site) bool {
			return s.Kind == "row-feature"
		}},
	}}
}

// ofFeatures are the places that serve one feature.
var ofFeatures = []struct {
	feature isa.Feature
	place
}{
	{isa.FeatureCMPCCXADD, place{fn: "cmpccxadd"}},
	{isa.FeatureMOVDIR64B, place{fn: "movdir64b"}},
	{isa.FeatureAPXF, place{file: "rex2.go"}},
	{isa.FeatureAPXF, place{line: "isa.MapEVEX1"}},
	{isa.FeatureAPXF, place{when: "r.Map >= isa.MapEVEX1"}},
	{isa.FeatureAPXF, place{fn: "familyOf", line: "return family{} // the state has no registers"}},
	{isa.FeatureAPXF, place{line: "c.inst.HasREX2"}},
	{isa.FeatureAPXF, place{line: "c.hasAPX()"}},
	{isa.FeatureAPXF, place{line: "| c.base"}},
	{isa.FeatureAPXF, place{line: "| c.index"}},
	{isa.FeatureXOP, place{fn: "cursor.vexMap"}},
	{isa.FeatureXOP, place{line: "!c.hasXOP()"}},
	{isa.FeatureXOP, place{fn: "cursor.hasXOP"}},
	{isa.FeatureTBM, place{fn: "Context.plusOne"}},
	{isa.FeatureTBM, place{fn: "Context.minusOne"}},
	{isa.FeatureTBM, place{file: "bit.go", line: ".plusOne("}},
	{isa.FeatureTBM, place{file: "bit.go", line: ".minusOne("}},
	{isa.FeatureRAOINT, place{fn: "Context.remote"}},
	{isa.FeatureRAOINT, place{file: "atomic.go", line: "c.remote("}},
	{isa.FeatureRAOINT, place{file: "plan.go", line: "aadd"}},
	{isa.FeatureRAOINT, place{file: "plan.go", line: "aor"}},
	{isa.FeatureCMPCCXADD, place{fn: "conditional", line: "isa.MapVEX2 && op == 0xe0"}},
}

// place names sites: those of a file, of a function, of lines that contain a
// text, and within what an if or a case does when a condition (its beginning)
// holds. What is empty does not restrict.
// kind restricts to mutants of that kind. dropped names sites whose mutant takes away a check that contains it, forced
// those whose mutant makes it hold always.
type place struct{ file, fn, line, when, dropped, forced, kind string }

// places is a rule that leaves out the sites of a list.
func places(name, why string, list ...place) *Rule {
	r := &Rule{Name: name, Why: why, places: list, left: make([]int, len(list))}
	r.match = func(s *site) bool {
		for i, p := range list {
			if s.in(p) {
				r.left[i]++
				return true
			}
		}
		return false
	}
	return r
}

// Idle returns the places that no site matched: their names have gone.
func (s *Scope) Idle() (idle []string) {
	for _, r := range s.Rules {
		for i, n := range r.left {
			if n == 0 {
				idle = append(idle, fmt.Sprintf("%s: %+v", r.Name, r.places[i]))
			}
		}
	}
	return idle
}

func (s *site) in(p place) bool {
	if s.code == nil {
		return false
	}
	return (p.file == "" || path.Base(s.File.Rel) == p.file) && (p.fn == "" || s.Func == p.fn) && (p.when == "" || s.code.under(p.when)) &&
		(p.line == "" || strings.Contains(s.line(), p.line)) && (p.kind == "" || s.Kind == p.kind) &&
		(p.dropped == "" || s.drops(p.dropped)) && (p.forced == "" || s.Kind == "force-check" && s.has(p.forced) && !s.has("!"+p.forced))
}

// line returns the line that the mutant begins on.
func (s *site) line() string {
	start, _ := s.lineRange()
	text, _, _ := strings.Cut(string(s.File.Src[start:]), "\n")
	return text
}

// has says whether what the mutant replaces contains the text.
func (s *site) has(text string) bool {
	return strings.Contains(oneLine(string(s.File.Src[s.Start:s.End])), text)
}

// drops says whether the mutant takes away a check that contains the text.
func (s *site) drops(text string) bool {
	switch s.Kind {
	case "drop-check":
		return s.has(text)
	case "drop-operand":
		return s.has(text) && !strings.Contains(oneLine(s.Text), text)
	}
	return false
}

// under says whether the site is in the body of an if, or of a case, whose
// condition begins so.
func (f *finder) under(condition string) bool {
	for i, n := range f.stack {
		switch n := n.(type) {
		case *ast.IfStmt:
			if i+1 < len(f.stack) && f.stack[i+1] == n.Body && strings.HasPrefix(oneLine(f.text(n.Cond)), condition) {
				return true
			}
		case *ast.CaseClause:
			for _, e := range n.List {
				if strings.HasPrefix(oneLine(f.text(e)), condition) {
					return true
				}
			}
		}
	}
	return false
}

// inText says whether the site makes text: a function that returns a string
// or appends to one, or the arguments of panic and of package fmt.
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
