package bench

import (
	"time"

	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
)

// The names of the floors.
const (
	FloorCall     = "call"
	FloorSyscall  = "syscall"
	FloorLine     = "line"
	FloorPause    = "line-pause"
	FloorSwitches = "switches"
	FloorPipe     = "pipe"
	FloorProcess  = "process"
	FloorExit     = "exit"
)

// floor is a floor with what is known of it.
type floor struct {
	Floor
	// measure returns the time of one, adding single ones to h. slice is how
	// long it may take.
	measure func(slice time.Duration, timer int64, h *histogram) (float64, error)
	values  []float64
	h       histogram
}

// floors are the floors, from the cheapest.
func floors() []*floor {
	all := []*floor{
		{Floor: Floor{Name: FloorCall, About: "a call of a function that is not inlined"}, measure: measureCall},
		{Floor: Floor{Name: FloorSyscall, About: "a system call that does nothing (getpid)"}},
		{Floor: Floor{Name: FloorLine, About: "8 bytes to a process on another CPU and back, looking without pause"}},
		{Floor: Floor{Name: FloorPause, About: "the same with a PAUSE between looks, as the transports do"}},
		{Floor: Floor{Name: FloorExit, About: "an exit of this virtual machine to its hypervisor and back (CPUID)"}, measure: measureExit},
		{Floor: Floor{Name: FloorSwitches, About: "a pair of switches between two processes on one CPU (futex)"}},
		{Floor: Floor{Name: FloorPipe, About: "8 bytes through a pipe and back, two processes on one CPU"}},
		{Floor: Floor{Name: FloorProcess, About: "this executable started as a process, without a sandbox, until it answers"}},
	}
	for _, f := range all {
		if f.measure == nil {
			f.measure, f.Missing = systemFloor(f.Name)
		}
	}
	if !hostcpu.Hypervised() {
		exit := find(all, func(f *floor) bool { return f.Name == FloorExit })
		exit.Missing = "no hypervisor beneath: CPUID does not exit here"
	}
	return all
}

// find returns the first that a condition holds for, or nil.
func find[T any](list []*T, ok func(*T) bool) *T {
	for _, x := range list {
		if ok(x) {
			return x
		}
	}
	return nil
}

//go:noinline
func nothing(v uint64) uint64 { return v + 1 }

var sink uint64

func measureCall(slice time.Duration, timer int64, _ *histogram) (float64, error) {
	const many = 1000
	t, err := repeat(func() error {
		v := sink
		for range many {
			v = nothing(v)
		}
		sink = v
		return nil
	}, slice, 0, timer, nil)
	return t.ns / many, err
}

func measureExit(slice time.Duration, timer int64, h *histogram) (float64, error) {
	t, err := repeat(func() error {
		sink += uint64(hostcpu.CPUID(0, 0)[0])
		return nil
	}, slice, 0, timer, h)
	return t.ns, err
}
