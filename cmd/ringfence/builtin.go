package main

import (
	"fmt"
	"runtime"
	"strings"

	xarch "golang.org/x/arch/x86/x86asm"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/fuzz/sweep"
	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/external/clib"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
	"github.com/seed-4e121ece/ringfence/oracle/x86asm"
)

// registry is the engines that the command line knows, by name.
var registry = []engine{
	{
		name:     model.Name,
		about:    "the Go model of the emulator, on the profile of this CPU",
		executor: func() (oracle.Executor, error) { return model.New(silicon.Profile()), nil },
		detailed: func() (oracle.Executor, error) {
			return model.New(silicon.Profile(), model.WithAccesses()), nil
		},
		decoder: func() (decoder, error) {
			return decoder{model.NewDecoder(decodeProfile), modelText}, nil
		},
		inspect: inspectModel,
	},
	{
		name:  "silicon",
		about: "the CPU itself: instructions run in a child process behind a seccomp filter",
		executor: func() (oracle.Executor, error) {
			e, err := silicon.New()
			if err != nil {
				return nil, err
			}
			return e, nil
		},
		decoder: func() (decoder, error) {
			d, err := silicon.NewDecoder()
			if err != nil {
				return decoder{}, err
			}
			return decoder{d, func([]byte, x86.Mode, *oracle.Decoded) string { return "an instruction" }}, nil
		},
		quirks:  sweep.CPUQuirks,
		inspect: inspectSilicon,
	},
	{
		name:    x86asm.Name,
		about:   "the decoder of golang.org/x/arch, one voter and a printer",
		decoder: func() (decoder, error) { return decoder{x86asm.New(), x86asmText}, nil },
		quirks:  x86asm.Quirks,
		inspect: inspectX86asm,
	},
	libraryEngine(clib.Find(clib.Zydis)),
	libraryEngine(clib.Find(clib.Capstone)),
	libraryEngine(clib.Find(clib.Unicorn)),
}

// decodeProfile is what the model's decoder is compared and asked by: every
// instruction of the table, whatever this CPU has, so that the answer is the
// same on every machine.
var decodeProfile = x86asm.Profile()

// modelText prints what the model decoded.
func modelText(code []byte, mode x86.Mode, _ *oracle.Decoded) string {
	var in decode.Inst
	decode.Decode(&in, code, mode, decodeProfile)
	return in.Text()
}

// x86asmText prints what x86asm decoded, in its own words.
func x86asmText(code []byte, mode x86.Mode, _ *oracle.Decoded) string {
	in, err := xarch.Decode(code, mode.Width())
	if err != nil {
		return ""
	}
	return xarch.IntelSyntax(in, 0, nil)
}

func inspectModel() (engineFacts, error) {
	p := silicon.Profile()
	widths := map[isa.ModeSet]int{isa.Mode16: 0, isa.Mode32: 0, isa.Mode64: 0}
	for _, r := range isa.Rows() {
		for m := range widths {
			if r.Modes&m != 0 {
				widths[m]++
			}
		}
	}
	exact := "no: --strict compares by the default rules"
	if exactProfile() {
		exact = "yes: --strict compares what the manuals leave undefined"
	}
	return engineFacts{
		{"profile", fmt.Sprintf("%s, %d-bit addresses, %d CPUID features of the table", p.Name, p.VirtualBits, len(p.Features.List()))},
		{"exact profile", exact},
		{"encodings", fmt.Sprintf("%d in the table; %d in 64-bit, %d in 32-bit, %d in 16-bit code", len(isa.Rows()), widths[isa.Mode64], widths[isa.Mode32], widths[isa.Mode16])},
		{"executes", "long64, compat32, compat16 at CPL 3: general-purpose instructions"},
		{"decodes", "16, 32, 64"},
	}, nil
}

func inspectSilicon() (engineFacts, error) {
	e, err := silicon.New()
	if err != nil {
		return nil, err
	}
	info, err := e.Info()
	if cerr := e.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	family, number, stepping := hostcpu.Signature()
	facts := engineFacts{
		{"cpu", fmt.Sprintf("%s, %s", hostcpu.Vendor(), hostcpu.Brand())},
		{"signature", fmt.Sprintf("family %#x, model %#x, stepping %d", family, number, stepping)},
	}
	for _, f := range info.Facts() {
		facts = append(facts, fact{f.Name, f.Value})
	}
	return append(facts, fact{"pages", placeable()}), nil
}

// placeable says which pages silicon can map.
func placeable() string {
	var parts []string
	for _, p := range oracle.DefaultLayout.Pages {
		parts = append(parts, fmt.Sprintf("%#x-%#x %s", p.Address, p.End()-1, p.Prot))
	}
	return "user pages anywhere from 0x10000 to 0x7ffeffffffff; by default " + strings.Join(parts, ", ")
}

func inspectX86asm() (engineFacts, error) {
	version := "unknown"
	if v := moduleVersion("golang.org/x/arch"); v != "" {
		version = v
	}
	return engineFacts{
		{"version", "golang.org/x/arch " + version},
		{"built with", runtime.Version()},
		{"known faults", fmt.Sprintf("%d rules", len(x86asm.Quirks()))},
		{"decodes", "16, 32, 64"},
	}, nil
}

// exactProfile says whether the model knows what this CPU does where the
// manuals leave it undefined. Tests replace it.
var exactProfile = hostcpu.Exact
