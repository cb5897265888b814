package silicon

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// TestInterpret feeds answers that a child could give, those among them that
// this machine does not.
func TestInterpret(t *testing.T) {
	const start = oracle.CodeBase
	const ended = oracle.Ended
	signal := func(signo, code, trap, err, cr2, rip, flags uint64) answer {
		return answer{kind: kindSignal, signo: signo, code: code, trap: trap, err: err, cr2: cr2, rip: rip, rflags: flags}
	}
	for _, k := range []struct {
		name   string
		code   string
		stop   Stop
		a      answer
		ending oracle.Ending
		event  string // "" if it retired
		rip    uint64
		flags  uint64
	}{
		{"landed", "90", StopPad, answer{kind: kindLanded, rip: start + 1, rflags: 0x202}, ended, "", start + 1, 0x202},
		{"breakpoint", "90", StopBreakpoint, signal(sigTRAP, 128, 3, 0, 0, start+2, 0x202), ended, "", start + 1, 0x202},
		{"fetch fault behind it, with RF", "90", StopBreakpoint, signal(sigSEGV, 1, 14, 0x14, start+1, start+1, 0x10202), ended, "", start + 1, 0x202},
		{"fetch fault within it", "4801", StopTrap, signal(sigSEGV, 1, 14, 0x14, start+2, start, 0x10302), ended, "#PF(0x14) at 0x10000002", start, 0x10202},
		{"single step", "90", StopTrap, signal(sigTRAP, 2, 1, 0, 0, start+1, 0x302), ended, "", start + 1, 0x202},
		{"INT1 by single step", "f1", StopTrap, signal(sigTRAP, 1, 1, 0, 0, start+1, 0x302), ended, "#DB", start + 1, 0x202},
		{"POPF sets TF, trap in the pad", "9d", StopPad, signal(sigTRAP, 2, 1, 0, 0, testPads.near, 0x302), ended, "", start + 1, 0x302},
		{"POPF faults under TF", "9d", StopTrap, signal(sigBUS, 128, 12, 0, 0, start, 0x10302), ended, "#SS(0x0)", start, 0x10202},
		{"#PF at a kernel address: P is the kernel's", "488b03", StopPad, signal(sigSEGV, 1, 14, 7, 1<<63, start, 0x10202), ended, "#PF(0x6) at 0x8000000000000000", start, 0x10202},
		{"#PF at a user address: P is the page's", "488903", StopPad, signal(sigSEGV, 2, 14, 7, 0x1000, start, 0x10202), ended, "#PF(0x7) at 0x1000", start, 0x10202},
		{"CR2 is stale but for #PF", "f4", StopPad, signal(sigSEGV, 128, 13, 0, 0x1234, start, 0x10202), ended, "#GP(0x0)", start, 0x10202},
		{"INT n through a closed gate", "cd2e", StopBreakpoint, signal(sigSEGV, 128, 13, 0x172, 0, start, 0x10202), ended, "#GP(0x172)", start, 0x10202},
		{"INT 3", "cd03", StopBreakpoint, signal(sigTRAP, 128, 3, 0, 0, start+2, 0x202), ended, "INT 0x3", start + 2, 0x202},
		{"#UD has no error code, whatever stands there", "0f0b", StopBreakpoint, signal(sigILL, 2, 6, 99, 99, start, 0x10202), ended, "#UD", start, 0x10202},
		{"#AC", "488b03", StopPad, signal(sigBUS, 1, 17, 0, 0, start, 0x50202), ended, "#AC(0x0)", start, 0x50202},
		{"#XM", "0f58c1", StopPad, signal(sigFPE, 3, 19, 0, 0, start, 0x10202), ended, "#XM", start, 0x10202},
		{"runaway", "ebfe", StopBreakpoint, signal(sigALRM, 0, 14, 4, 0, start, 0x202), oracle.RanAway, "", start, 0x202},
		{"system call, filtered", "0f05", StopPad, signal(sigSYS, 1, 14, 4, 0, start+2, 0x202), oracle.SystemCall, "", start + 2, 0x202},
		{"uretprobe, which no filter sees", "0f05", StopPad, signal(sigILL, 128, 14, 4, 0, start+2, 0x202), oracle.SystemCall, "", start + 2, 0x202},
		{"uprobe, which returns an error", "0f05", StopPad, answer{kind: kindLanded, rip: start + 2, rflags: 0x202}, oracle.SystemCall, "", start + 2, 0x202},
		{"LOCK SYSCALL is no system call", "f00f05", StopPad, signal(sigILL, 2, 6, 0, 0, start, 0x10202), ended, "#UD", start, 0x10202},
		{"vsyscall page", "ffe3", StopBreakpoint, signal(sigSYS, 1, 14, 4, 0, 0x1234, 0x202), oracle.SystemCall, "", 0x1234, 0x202},
		{"AMX without permission, stale number", "c4e27849c0", StopTrap, signal(sigILL, 1, 14, 4, 0, start, 0x202), oracle.Quarantined, "", start, 0x202},
		{"AMX without permission, stale #UD", "c4e27849c0", StopTrap, signal(sigILL, 1, 6, 4, 0, start, 0x202), oracle.Quarantined, "", start, 0x202},
	} {
		t.Run(k.name, func(t *testing.T) {
			c := &oracle.Case{Layout: oracle.DefaultLayout}
			c.State.RIP, c.State.RFLAGS = start, 0x202
			p := &plan{stop: k.stop, sh: *shapeOf(t, k.code), pads: &testPads, limit: ^uint64(0)}
			p.next = start + uint64(p.sh.length)
			var r oracle.Result
			interpret(&k.a, p, c, &r)
			assert.Equal(t, k.ending, r.Ending)
			assert.Equal(t, k.rip, r.State.RIP)
			assert.Equal(t, k.flags, r.State.RFLAGS, "%#x", r.State.RFLAGS)
			switch {
			case k.ending != ended:
				assert.NotEmpty(t, r.Note)
			case k.event == "":
				assert.Equal(t, step.Okay, r.Outcome)
				assert.Equal(t, x86.Event{}, r.Event)
			default:
				assert.Equal(t, step.Exception, r.Outcome)
				assert.Equal(t, k.event, r.Event.String())
			}
		})
	}
}
