//go:build !linux

package bench

import "runtime"

func cpus() []int { return make([]int, runtime.NumCPU()) }

func stay(int) (release func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

func visit(int) {}

func processorTime(int) int64 { return 0 }

func workerTime(int) int64 { return 0 }
