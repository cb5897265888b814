package emulator_test

import (
	"testing"

	"github.com/seed-4e121ece/ringfence/emulator"
	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/machine"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// form is a kind of instruction by what it does to memory.
type form uint8

const (
	formReg form = iota
	formLoad
	formStore
	formRMW
	numForms
)

var formNames = [numForms]string{"reg", "load", "store", "rmw"}

// stream lays distinct encodings of a form one after another in a page: all
// legacy arithmetic and moves with every ModRM of the form, no displacement.
func stream(f form) (code []byte, count int) {
	opcodes := map[form][]byte{
		formReg:   {0x00, 0x01, 0x02, 0x03, 0x09, 0x0b, 0x11, 0x13, 0x19, 0x1b, 0x21, 0x23, 0x29, 0x2b, 0x31, 0x33, 0x39, 0x3b, 0x85, 0x89, 0x8b},
		formLoad:  {0x02, 0x03, 0x0b, 0x13, 0x1b, 0x23, 0x2b, 0x33, 0x3b, 0x39, 0x85, 0x8b},
		formStore: {0x88, 0x89},
		formRMW:   {0x00, 0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31},
	}[f]
	for _, prefix := range []string{"", "\x48", "\x66", "\x4c"} {
		for _, op := range opcodes {
			for reg := range byte(8) {
				if reg == 3 || reg == 4 || reg == 6 || reg == 7 {
					continue // the address registers keep their values
				}
				modrm := 0xc0 | reg<<3 | 1
				if f != formReg {
					modrm = reg<<3 | []byte{3, 6, 7}[count%3]
				}
				next := append([]byte(prefix), op, modrm)
				if len(code)+len(next) > page {
					return code, count
				}
				code = append(code, next...)
				count++
			}
		}
	}
	return code, count
}

// BenchmarkStep measures fetch, decode, step and apply on the reference bus,
// an instruction an operation, over a stream of distinct encodings.
func BenchmarkStep(b *testing.B) {
	for f := range numForms {
		b.Run("form="+formNames[f], func(b *testing.B) {
			code, count := stream(f)
			m := benchMachine(b)
			e := emulator.New(profile(isa.Intel), m.Hooks())
			state := initial()
			for _, n := range []int{x86.RBX, x86.RSI, x86.RDI} {
				state.GPR[n] = dataAt + 0x100*uint64(n)
			}
			m.Load(&state, 0, 0, append(code, make([]byte, page-len(code))...), nil, codeAt)
			var fx emulator.Effects
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n++; n > count {
					n = 1
					state.RIP = codeAt
				}
				if out := e.Step(&state, m, &fx); out != emulator.Okay {
					b.Fatalf("step at %#x: %v %v", state.RIP, out, fx.Event)
				}
				if out := fx.Apply(&state, m); out != emulator.Okay {
					b.Fatalf("apply at %#x: %v", state.RIP, out)
				}
			}
		})
	}
}

// BenchmarkExecute is Step without fetch and decode.
func BenchmarkExecute(b *testing.B) {
	for f := range numForms {
		b.Run("form="+formNames[f], func(b *testing.B) {
			code, _ := stream(f)
			m := benchMachine(b)
			p := profile(isa.Intel)
			e := emulator.New(p, m.Hooks())
			var insts []decode.Inst
			for rest := code; len(rest) > 0; {
				var in decode.Inst
				decode.Decode(&in, rest[:min(len(rest), 15)], x86.Long64, p)
				insts = append(insts, in)
				rest = rest[in.Length:]
			}
			state := initial()
			for _, n := range []int{x86.RBX, x86.RSI, x86.RDI} {
				state.GPR[n] = dataAt + 0x100*uint64(n)
			}
			m.Load(&state, 0, 0, append(code, make([]byte, page-len(code))...), nil, codeAt)
			var fx emulator.Effects
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n++; n >= len(insts) {
					n = 0
				}
				fx.Inst = insts[n]
				fx.Resume = true
				if out := e.Step(&state, m, &fx); out != emulator.Okay {
					b.Fatalf("step: %v %v", out, fx.Event)
				}
			}
		})
	}
}

// benchMachine has a page of code and two of data, all given by Load.
func benchMachine(b *testing.B) *machine.Machine {
	rw := machine.Write | machine.User
	m, err := machine.New(machine.Config{
		Pages: []machine.Pages{
			{Address: codeAt, Count: 2, Protection: rw | machine.Exec},
			{Address: dataAt, Count: 2, Protection: rw},
		},
		Windows: []machine.Window{{Address: codeAt, Length: page}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return m
}
