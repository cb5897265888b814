package ptrace

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// TestRepeats steps string instructions iteration by iteration, where the runner
// runs them at full speed: state, memory and the number of iterations agree, with
// either end, direction and address size.
func TestRepeats(t *testing.T) {
	stepped := func(e *Executor) { e.stepRepeats = true }
	strings := []byte{0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf}
	for _, mode := range modes {
		t.Run("mode="+mode.String(), func(t *testing.T) {
			slow, fast := newExecutor(t, stepped), newRunner(t)
			r := rand.New(rand.NewPCG(6, uint64(mode)))
			var cases []oracle.Case
			for range 600 {
				var b []byte
				if r.IntN(3) == 0 {
					b = append(b, 0x67)
				}
				if r.IntN(4) == 0 {
					b = append(b, 0x66)
				}
				b = append(b, 0xf2|byte(r.IntN(2)))
				if mode == x86.Long64 && r.IntN(3) == 0 {
					b = append(b, 0x48)
				}
				b = append(b, strings[r.IntN(len(strings))])
				c := newCase(mode, b)
				states(r, &c)
				c.State.RIP = newCase(mode, nil).State.RIP
				c.State.GPR[x86.RCX] = uint64(r.IntN(60))
				if o := scan(b, mode); o.addrBytes == 4 && mode == x86.Long64 || o.addrBytes == 2 {
					c.State.GPR[x86.RCX] |= 0x1230000 << (8 * (o.addrBytes - 2)) // above the counter
				}
				c.State.RFLAGS &^= uint64(x86.TF | x86.NT | x86.AC)
				cases = append(cases, c)
			}
			a := newAgreement()
			x, y := run(t, slow, cases), run(t, fast, cases)
			ended, iterations := 0, uint64(0)
			for i := range cases {
				if x[i].Ending != oracle.Ended || y[i].Ending != oracle.Ended {
					continue
				}
				ended++
				iterations += x[i].Iterations
				require.Equal(t, y[i].Iterations, x[i].Iterations, "% x: %s", cases[i].CodeBytes(), describe(&y[i]))
				require.Empty(t, a.compare(&cases[i], &x[i], &y[i]), "% x: %s\n%s", cases[i].CodeBytes(), describe(&x[i]), describe(&y[i]))
			}
			t.Logf("%d cases, %d iterations", ended, iterations)
			assert.Greater(t, ended, len(cases)*3/4)
			assert.Greater(t, iterations, uint64(len(cases)))
			a.report(t)
		})
	}
}
