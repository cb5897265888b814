//go:build !unix

package campaign

import "time"

// cpuTime is the time since the start: what the process had of it is not asked.
func cpuTime() time.Duration { return time.Since(processStart) }
