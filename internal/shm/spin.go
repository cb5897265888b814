package shm

import "sync/atomic"

// Spin looks at word until it no longer equals value, up to so many times with a
// PAUSE (some 25 to 100 ns) between, and says whether it changed.
func Spin(word *atomic.Uint32, value uint32, times int) bool {
	for range times {
		if word.Load() != value {
			return true
		}
		pause()
	}
	return word.Load() != value
}
