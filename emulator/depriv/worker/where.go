package worker

import (
	"runtime"
	"strings"
)

// where names the function that panicked.
func where() string {
	var pc [16]uintptr
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") {
			return " in " + f.Function
		}
		if !more {
			return ""
		}
	}
}
