package oracle

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Fault is a known fault of an executor: one cause, with cases that show it. A
// test runs them on the executor, which must still be wrong, and on the CPU.
type Fault struct {
	Engine string
	Name   string
	// Reason says in a sentence what it does wrong.
	Reason string
	// Source is who says what is true: a section of a manual.
	Source string
	// Vendor is the maker of the CPUs that do what Truth says, where the
	// manuals leave it open or differ; AnyVendor otherwise.
	Vendor   FaultVendor
	Evidence []FaultEvidence
}

// FaultVendor says on whose CPUs the evidence holds.
type FaultVendor uint8

// The values of FaultVendor.
const (
	AnyVendor FaultVendor = iota
	IntelOnly
)

// FaultEvidence is a case that shows a fault.
type FaultEvidence struct {
	// Case is a case of the schema, in one line.
	Case string
	// Shows are what to look at after the run, besides how it ended: registers
	// ("rax"), flags ("CF") and memory ("0x20000000:8", an address and a
	// length in bytes), separated by blanks.
	Shows string
	// Says is what the executor has, Truth what the CPU has, as Describe puts
	// it.
	Says, Truth string
}

// Describe says how a case ended, and the value of what is shown: "okay, rax
// 0x1", "#PF(0x4) at 0x0".
func (e *FaultEvidence) Describe(c *Case, r *Result) (string, error) {
	text := ""
	switch {
	case r.Ending != Ended:
		text = r.Ending.String()
	case r.Outcome == step.Exception && r.Unknown&FieldErrorCode != 0, r.Outcome == step.Exception && r.Event.Vector != x86.VectorPF:
		text = x86.VectorName(r.Event.Vector) // without what not every engine can tell
	case r.Outcome == step.Exception:
		text = r.Event.String()
	default:
		text = r.Outcome.String()
	}
	for name := range strings.FieldsSeq(e.Shows) {
		value, err := show(c, r, name)
		if err != nil {
			return "", err
		}
		text += ", " + name + " " + value
	}
	return text, nil
}

func show(c *Case, r *Result, name string) (string, error) {
	if f := x86.ParseFlag(name); f != 0 {
		if x86.Flags(r.State.RFLAGS)&f == f {
			return "set", nil
		}
		return "clear", nil
	}
	for i := range uint8(x86.NumGPR) {
		if x86.GPRName(i, 8) == name {
			return fmt.Sprintf("%#x", r.State.GPR[i]), nil
		}
	}
	if name == "rip" {
		return fmt.Sprintf("%#x", r.State.RIP), nil
	}
	var address uint64
	var n int
	if _, err := fmt.Sscanf(name, "0x%x:%d", &address, &n); err != nil || n <= 0 {
		return "", fmt.Errorf("evidence shows %q: want a register, a flag or address:length", name)
	}
	b := make([]byte, n)
	for i := range b {
		v, ok := resultByte(c, r, address+uint64(i))
		if !ok {
			return "", fmt.Errorf("evidence shows %q: not in the case's memory", name)
		}
		b[i] = v
	}
	return hex.EncodeToString(b), nil
}

// resultByte returns a byte of memory after the run: of a stray word, of a
// window, or as it was.
func resultByte(c *Case, r *Result, address uint64) (byte, bool) {
	for _, s := range r.Stray[:min(r.NumStray, MaxStray)] {
		if i := address - s.Address; i < 8 {
			return byte(s.Value >> (8 * i)), true
		}
	}
	at := 0
	for _, w := range c.Layout.Windows {
		if i := address - w.Address; i < uint64(w.Length) {
			return r.Memory[at+int(i)], true
		}
		at += w.Length
	}
	return c.Byte(address)
}
