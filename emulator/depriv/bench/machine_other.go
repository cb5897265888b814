//go:build !linux

package bench

func kernel() string { return "" }

func mitigations() []string { return nil }

func loadAverage() (float64, bool) { return 0, false }

func cpuTimes() (all, busy, stolen float64) { return 0, 0, 0 }

func ownTime() float64 { return 0 }

func residentMemory(int) (all, anonymous float64) { return 0, 0 }
