package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/seed-4e121ece/ringfence/emulator/exec"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// isaFlags are the flags of the isa command.
type isaFlags struct {
	feature, opmap, mode, executed string
	json, coverage                 bool
}

func newISA(std stdio) *cobra.Command {
	var f isaFlags
	cmd := &cobra.Command{
		Use:   "isa [MNEMONIC…]",
		Short: "list and search the instruction table",
		Long: `isa lists the rows of the instruction table: the encoding in the manual's
notation, the instruction, the code widths in which it is valid, the CPUID features
that it needs, and whether the model executes it or only decodes it. Mnemonics may
have * and ?, in any case. The exit status is 1 if no row is found.`,
		Example: `  ringfence isa 'CMOV*' --mode 32
  ringfence isa --feature BMI2
  ringfence isa --map VEX.0F38 --executed no --json`,
		RunE: func(_ *cobra.Command, args []string) error {
			if f.coverage {
				return printCoverage(std.out, isa.Rows())
			}
			rows, err := f.find(args, isa.Rows())
			if err != nil {
				return err
			}
			write := printRows
			if f.json {
				write = writeRows
			}
			if err := write(std.out, rows); err != nil {
				return badInput("isa: writing: %v", err)
			}
			if len(rows) == 0 {
				return found()
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.feature, "feature", "", "only rows that need this CPUID feature, as BMI2; - for those that need none")
	flags.StringVar(&f.opmap, "map", "", "only rows of this opcode map, as 0F38, VEX.0F or x87")
	flags.StringVar(&f.mode, "mode", "", "only rows that are valid in 16-, 32- or 64-bit code")
	flags.StringVar(&f.executed, "executed", "", "yes: only what the model executes; no: only what it merely decodes")
	flags.BoolVar(&f.json, "json", false, "one JSON object a row and line")
	flags.BoolVar(&f.coverage, "coverage", false, "print the coverage page (docs/coverage.md) of the whole table and do nothing else")
	return cmd
}

// modeSets are the code widths of a ModeSet.
var modeSets = []struct {
	set   isa.ModeSet
	width int
}{{isa.Mode16, 16}, {isa.Mode32, 32}, {isa.Mode64, 64}}

// find returns the rows that the flags and patterns ask for.
func (f *isaFlags) find(patterns []string, rows []isa.Row) ([]*isa.Row, error) {
	var feature isa.Feature
	var mode isa.ModeSet
	if f.feature != "" && f.feature != "-" {
		var err error
		if feature, err = isa.ParseFeature(f.feature); err != nil {
			return nil, badInput("--feature: %v", err)
		}
	}
	if f.mode != "" {
		m, err := parseWidth(f.mode)
		if err != nil {
			return nil, err
		}
		for _, s := range modeSets {
			if s.width == m.Width() {
				mode = s.set
			}
		}
	}
	if f.executed != "" && f.executed != "yes" && f.executed != "no" {
		return nil, badInput("--executed %q: want yes or no", f.executed)
	}
	if f.opmap != "" && !slices.ContainsFunc(rows, func(r isa.Row) bool { return strings.EqualFold(mapOf(&r), f.opmap) }) {
		return nil, badInput("--map %q: no such map; known are %s", f.opmap, strings.Join(mapsOf(rows), ", "))
	}
	var out []*isa.Row
	for i := range rows {
		r := &rows[i]
		switch {
		case feature != 0 && r.Feature != feature && r.Also != feature, f.feature == "-" && r.Feature != isa.FeatureNone,
			mode != 0 && r.Modes&mode == 0,
			f.opmap != "" && !strings.EqualFold(mapOf(r), f.opmap),
			f.executed != "" && exec.Implemented(r.ID) != (f.executed == "yes"):
			continue
		}
		ok, err := matches(patterns, r.Mnemonic.String())
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, r)
		}
	}
	return out, nil
}

// matches says whether the name matches one of the patterns, or there are
// none.
func matches(patterns []string, name string) (bool, error) {
	hit := len(patterns) == 0
	for _, p := range patterns {
		ok, err := path.Match(strings.ToUpper(p), name)
		if err != nil {
			return false, badInput("isa: pattern %q: %v", p, err)
		}
		hit = hit || ok
	}
	return hit, nil
}

// opcodeMap is a field of VEX, EVEX and XOP that names the map.
var opcodeMap = regexp.MustCompile(`^(E?VEX|XOP)\.(?:[^ ]*\.)?(0F|0F38|0F3A|MAP[0-9A-F]+)(?:\.[^ ]*)? `)

// mapOf names the map of a row, as the row's encoding does: "one-byte", "0F",
// "0F38", "0F3A", "0F0F", "x87", "VEX.0F38", "EVEX.MAP5".
func mapOf(r *isa.Row) string {
	if m := opcodeMap.FindStringSubmatch(r.Encoding + " "); m != nil {
		return m[1] + "." + m[2]
	}
	if strings.Contains(r.Encoding, "REX2 ") {
		return "REX2"
	}
	switch r.Map {
	case isa.MapOne:
		if r.Opcode&0xf8 == 0xd8 {
			return "x87"
		}
		return "one-byte"
	case isa.Map0F:
		return "0F"
	case isa.Map0F38:
		return "0F38"
	case isa.Map0F3A:
		return "0F3A"
	case isa.Map0F0F:
		return "0F0F"
	}
	return fmt.Sprintf("map %d", r.Map)
}

// mapsOf lists the maps in the order of the decoder.
func mapsOf(rows []isa.Row) []string {
	first := map[string]isa.Map{}
	var names []string
	for i := range rows {
		n := mapOf(&rows[i])
		if _, ok := first[n]; !ok {
			first[n] = rows[i].Map
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := int(first[a]) - int(first[b]); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}

// widths lists the code widths of a row.
func widths(s isa.ModeSet) []int {
	var out []int
	for _, m := range modeSets {
		if s&m.set != 0 {
			out = append(out, m.width)
		}
	}
	return out
}

// featuresOf names the features that a row needs.
func featuresOf(r *isa.Row) []string {
	out := []string{}
	for _, f := range []isa.Feature{r.Feature, r.Also} {
		if f != isa.FeatureNone {
			out = append(out, f.String())
		}
	}
	return out
}

// rowAnswer is a line of `isa --json`.
type rowAnswer struct {
	Encoding string   `json:"encoding"`
	Syntax   string   `json:"syntax"`
	Mnemonic string   `json:"mnemonic"`
	Map      string   `json:"map"`
	Opcode   string   `json:"opcode"`
	Modes    []int    `json:"modes"`
	Features []string `json:"features"`
	// Access is what is done to each operand of the syntax: r, w, rw, or -;
	// c before it: the write may not happen.
	Access     []string          `json:"access"`
	Attributes []string          `json:"attributes"`
	Flags      map[string]string `json:"flags"`
	Executed   bool              `json:"executed"`
}

// attributes are the names of a row's attributes that a reader may ask for.
var attributes = []struct {
	bit  isa.Attr
	name string
}{
	{isa.AttrLock, "lock"},
	{isa.AttrImplicitLock, "implicit_lock"},
	{isa.AttrRep, "rep"},
	{isa.AttrRepZ, "repz"},
	{isa.AttrDefault64, "default64"},
	{isa.AttrForce64, "force64"},
	{isa.AttrBranch, "branch"},
	{isa.AttrConditional, "conditional"},
	{isa.AttrFar, "far"},
	{isa.AttrCPL0, "cpl0"},
	{isa.AttrCPL0Undefined, "cpl0_undefined"},
	{isa.AttrIOPL, "iopl"},
	{isa.AttrNop, "nop"},
	{isa.AttrUndefinedResult, "undefined_result"},
	{isa.AttrSystem, "system"},
	{isa.AttrX87, "x87"},
	{isa.AttrVector, "vector"},
	{isa.AttrVSIB, "vsib"},
	{isa.AttrDistinct, "distinct"},
}

func describeRow(r *isa.Row) rowAnswer {
	a := rowAnswer{
		Encoding: r.Encoding, Syntax: r.Syntax, Mnemonic: r.Mnemonic.String(), Map: mapOf(r), Opcode: fmt.Sprintf("%02x", r.Opcode),
		Modes: widths(r.Modes), Features: featuresOf(r), Access: []string{}, Attributes: []string{}, Flags: map[string]string{},
		Executed: exec.Implemented(r.ID),
	}
	for i := range r.Operands[:r.NumOperands] {
		s := ""
		for _, x := range []struct {
			bit  isa.Access
			name string
		}{{isa.Conditional, "c"}, {isa.Read, "r"}, {isa.Write, "w"}} {
			if r.Operands[i].Access&x.bit != 0 {
				s += x.name
			}
		}
		if s == "" {
			s = "-"
		}
		a.Access = append(a.Access, s)
	}
	for _, x := range attributes {
		if r.Attr&x.bit != 0 {
			a.Attributes = append(a.Attributes, x.name)
		}
	}
	for _, x := range []struct {
		name string
		set  x86.Flags
	}{{"tested", r.Flags.Tested}, {"modified", r.Flags.Modified}, {"set", r.Flags.Set}, {"cleared", r.Flags.Cleared}, {"undefined", r.Flags.Undefined}} {
		if x.set != 0 {
			a.Flags[x.name] = x.set.String()
		}
	}
	return a
}

// writeRows writes rows for a program.
func writeRows(w io.Writer, rows []*isa.Row) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for _, r := range rows {
		if err := enc.Encode(describeRow(r)); err != nil {
			return err
		}
	}
	return out.Flush()
}

// printRows prints rows for a person.
func printRows(w io.Writer, rows []*isa.Row) error {
	out := bufio.NewWriter(w)
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	executed := 0
	for _, r := range rows {
		does := "decoded"
		if exec.Implemented(r.ID) {
			does = "executed"
			executed++
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", r.Encoding, r.Syntax, strings.Trim(fmt.Sprint(widths(r.Modes)), "[]"), does, strings.Join(featuresOf(r), " "))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s of %s rows, %s of them executed\n", commas(uint64(len(rows))), commas(uint64(len(isa.Rows()))), commas(uint64(executed)))
	return out.Flush()
}
