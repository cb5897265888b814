package bench

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/internal/spawn"
)

// cpus are the CPUs on which this process may run. They are asked for once,
// before a thread binds itself: the kernel answers for the calling thread.
var cpus = sync.OnceValue(func() []int {
	list, err := spawn.Affinity()
	if err != nil || len(list) == 0 {
		return []int{0}
	}
	return list
})

// stay binds the calling goroutine to a CPU until release.
func stay(cpu int) (release func()) {
	var before unix.CPUSet
	cpus() // while this thread may run on all of them
	runtime.LockOSThread()
	if unix.SchedGetaffinity(0, &before) != nil || spawn.Pin(0, cpu) != nil {
		return runtime.UnlockOSThread // not bound: the figures spread more
	}
	return func() {
		_ = unix.SchedSetaffinity(0, &before) // as it was
		runtime.UnlockOSThread()
	}
}

// visit brings the calling thread to a CPU, and lets it go anywhere again.
func visit(cpu int) { stay(cpu)() }

// processorTime is the processor time in nanoseconds that this process has used,
// and the process pid if it is not 0; 0 if that cannot be told.
func processorTime(pid int) int64 {
	mine := clockTime(unix.CLOCK_PROCESS_CPUTIME_ID)
	if pid == 0 || mine == 0 {
		return mine
	}
	theirs := workerTime(pid)
	if theirs == 0 {
		return 0
	}
	return mine + theirs
}

// workerTime is the processor time of another process: its clock has a number
// made of the process id (clock_getcpuclockid(3)).
func workerTime(pid int) int64 { return clockTime(^int32(pid)<<3 | 2) }

func clockTime(id int32) int64 {
	var t unix.Timespec
	if unix.ClockGettime(id, &t) != nil {
		return 0
	}
	return t.Nano()
}
