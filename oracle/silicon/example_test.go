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
