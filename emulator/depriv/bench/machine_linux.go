package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// kernel is the release of the kernel.
func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// mitigations are the kernel's words about what it does where a process or the
// kernel is entered.
func mitigations() []string {
	var all []string
	for _, name := range []string{"meltdown", "spectre_v2", "mds", "retbleed"} {
		text, err := os.ReadFile("/sys/devices/system/cpu/vulnerabilities/" + name)
		if err == nil {
			all = append(all, fmt.Sprintf("%s: %s", name, strings.TrimSpace(string(text))))
		}
	}
	return all
}

// loadAverage is that of the last minute.
func loadAverage() (float64, bool) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, false
	}
	first, _, _ := strings.Cut(string(text), " ")
	v, err := strconv.ParseFloat(first, 64)
	return v, err == nil
}

// ticks are the time of all CPUs so far, and how much of it the hypervisor gave
// to others, in ticks of the kernel.
func ticks() (all, stolen uint64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, f := range strings.Fields(line) {
		v, err := strconv.ParseUint(f, 10, 64)
		if err != nil || i > 8 { // what guests used stands in user time too
			continue
		}
		all += v
		if i == 8 {
			stolen = v
		}
	}
	return all, stolen
}

// residentMemory is a process's resident memory in bytes: all of it, and what it
// shares with nobody and no file.
func residentMemory(pid int) (all, anonymous float64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		v, err := strconv.ParseFloat(f[1], 64)
		switch {
		case err != nil:
		case f[0] == "VmRSS:":
			all = v * 1024
		case f[0] == "RssAnon:":
			anonymous = v * 1024
		}
	}
	return all, anonymous
}
