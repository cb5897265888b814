package ptrace_test

import (
	"fmt"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
	"github.com/seed-4e121ece/ringfence/oracle/silicon/ptrace"
)

// The same question to the runner and to ptrace, which share nothing but the
// CPU.
func Example() {
	c := silicon.NewCaseIn(x86.Compat32, []byte{0x27}) // DAA
	c.State.GPR[x86.RAX] = 0x3c

	slow, err := ptrace.New()
	if err != nil {
		fmt.Println(err) // names what this machine refuses
		return
	}
	defer func() { _ = slow.Close() }()
	fast, err := silicon.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = fast.Close() }()

	results := make([]oracle.Result, 1)
	for _, e := range []oracle.Executor{slow, fast} {
		if err := e.Run([]oracle.Case{c}, results); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %v, al = %#x\n", e.Name(), results[0].Outcome, results[0].State.GPR[x86.RAX]) // okay, al = 0x42
	}
}
