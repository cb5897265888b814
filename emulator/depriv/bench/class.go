package bench

import (
	"encoding/hex"
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/machine"
	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Class is a kind of instruction by what it asks of its caller.
type Class struct {
	// Name is "load", as it stands in the names of benchmarks.
	Name string
	// About says in a few words what the instructions do.
	About string
	// Codes are distinct encodings, in hex, that are stepped in turn.
	Codes []string
	// Outcome is what each step must end with.
	Outcome step.Outcome
}

// classes are the classes, from what asks the least.
var classes = []Class{
	{"register", "registers only", []string{"4801d8", "4829c8", "31d2", "4d89c8", "6621d1", "08c1", "4839f7", "48ffc0"}, step.Okay},
	{"load", "one operand in memory, read", []string{"488b03", "8b4308", "0fb64601", "48030b", "4c8b4e10", "668b13", "483b03", "48634304"}, step.Okay},
	{"store", "one operand in memory, written", []string{"488903", "894308", "884e01", "668913", "4c894e10", "c70378563412", "48c7430801000000", "0f9403"}, step.Okay},
	{"rmw", "one operand in memory, read and written", []string{"480103", "294b08", "3006", "48ff03", "660913", "f71b", "48830305", "f0480103"}, step.Okay},
	{"string", "MOVS: two operands in memory", []string{"a4", "a5", "66a5", "48a5"}, step.Okay},
	{"fault", "an operand in a page that is not there: #PF", []string{"488b00", "8b4008", "0fb600", "480308", "488900", "480108", "f730", "883c25"}, step.Exception},
	{"block64", "MOVDIR64B: 64 bytes read and written", []string{"660f38f83b", "660f38f83e", "660f38f87b40", "660f38f87e08"}, step.Okay},
}

// Classes are the classes of instruction that Run measures.
func Classes() []Class { return classes }

// The places of code and data in the guest.
const (
	codeAt = 0x10000000
	dataAt = 0x20000000
	// slot is how far apart the instructions of a class are.
	slot = 64
)

// profile is the CPU that is emulated: the same on every machine, so that the
// same steps are measured.
func profile() *isa.Profile {
	return &isa.Profile{Name: "bench", Vendor: isa.Intel, Features: isa.AllFeatures(), VirtualBits: 48}
}

// guest is one virtual CPU with its memory and the instructions of a class.
type guest struct {
	state x86.State
	m     *machine.Machine
	fx    step.Effects
	// index is the number of the virtual CPU, data the address of its page.
	index int
	data  uint64
	rip   []uint64
	turn  int
	want  step.Outcome
}

// load gives a guest the instructions of a class and the registers they need.
func (g *guest) load(c *Class) error {
	g.state = x86.State{Mode: x86.Long64, StackWidth: 64, CPL: 3, RIP: codeAt, RFLAGS: 0x202}
	for i := range g.state.GPR {
		g.state.GPR[i] = uint64(i) * 0x1111 // RAX is 0, where nothing is mapped
	}
	// Other lines for other virtual CPUs, or all of them share a set of a cache.
	at := g.data + uint64(g.index%16)*64
	g.state.GPR[x86.RBX] = at + 64
	g.state.GPR[x86.RSI] = at + 1280
	g.state.GPR[x86.RDI] = at + 2560
	page := make([]byte, machine.PageSize)
	g.rip, g.turn, g.want = g.rip[:0], 0, c.Outcome
	for i, text := range c.Codes {
		code, err := hex.DecodeString(text)
		if err != nil {
			return fmt.Errorf("bench: instruction %s of class %s: %w", text, c.Name, err)
		}
		copy(page[i*slot:], code)
		g.rip = append(g.rip, codeAt+uint64(i)*slot)
	}
	g.m.Load(&g.state, 0, 0, page, nil, codeAt)
	g.fx = step.Effects{}
	return nil
}

// next points the guest at its next instruction.
func (g *guest) next() {
	g.turn++
	if g.turn == len(g.rip) {
		g.turn = 0
	}
	g.state.RIP = g.rip[g.turn]
	g.fx.Resume = false
}
