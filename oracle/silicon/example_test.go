package silicon_test

import (
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// What does the CPU do with POPCNT of a word in memory? Prints
// "okay: rax = 9, rip + 4", on a machine that can be asked.
func Example() {
	cpu, err := silicon.New()
	if err != nil {
		fmt.Println(err) // names what this machine lacks
		return
	}
	defer cpu.Close()

	c := silicon.NewCase([]byte{0xf3, 0x0f, 0xb8, 0x03}) // POPCNT EAX, [RBX]
	c.State.GPR[x86.RBX] = oracle.DataBase               // a window of the default layout
	copy(c.Memory[512+256:], []byte{0xff, 0x01})         // the third window is there
	r, err := cpu.One(c)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%v: rax = %d, rip + %d\n", r.Outcome, r.State.GPR[x86.RAX], r.State.RIP-c.State.RIP)
}

// A fault comes with its vector, error code and address.
func ExampleExecutor_One() {
	cpu, err := silicon.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cpu.Close()

	r, err := cpu.One(silicon.NewCase([]byte{0x88, 0x05, 0xfa, 0xff, 0xff, 0xff})) // MOV [RIP-6], AL
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Outcome, r.Event) // exception #PF(0x7) at 0x10000000
}

// 16-bit code, with a segment that ends at its first page.
func ExampleNewCaseIn() {
	cpu, err := silicon.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cpu.Close()

	c := silicon.NewCaseIn(x86.Compat16, []byte{0x8b, 0x07}) // MOV AX, [BX]
	var segments [x86.NumSegment]x86.SegmentRegister
	for s := range segments {
		segments[s] = c.Segment(x86.Segment(s))
	}
	segments[x86.DS].Limit = 0xfff
	segments[x86.ES].Limit = 0xfff // the same descriptor by default
	c.Segments = &segments
	c.State.GPR[x86.RBX] = 0xfff
	r, err := cpu.One(c)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Outcome, r.Event) // exception #GP(0x0)
}

// How long is this, and is it an instruction at all?
func ExampleDecoder_Decode() {
	cpu, err := silicon.NewDecoder()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cpu.Close()

	var d oracle.Decoded
	cpu.Decode([]byte{0x66, 0x81, 0xc0, 0x34, 0x12, 0x90, 0x90}, x86.Compat32, &d) // ADD AX, 1234h
	fmt.Println(d.Valid, d.Length)                                                 // true 5
	cpu.Decode([]byte{0x0f, 0x0b}, x86.Compat32, &d)                               // UD2
	fmt.Println(d.Valid, d.Reason)                                                 // false undefined
}
