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

// cpuTimes are times of all CPUs of the machine so far, in seconds: the
// wall-clock time of each, what was worked in it, and what the hypervisor gave to
// others. Zero if the kernel does not tell.
func cpuTimes() (all, busy, stolen float64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return parseCPUTimes(line)
}

// ticksPerSecond is USER_HZ, in which the kernel counts for user space.
const ticksPerSecond = 100

// parseCPUTimes reads the first line of /proc/stat (proc_stat(5)).
func parseCPUTimes(line string) (all, busy, stolen float64) {
	const idle, ioWait, steal = 3, 4, 7
	fields := strings.Fields(line)
	if len(fields) <= steal+1 || fields[0] != "cpu" {
		return 0, 0, 0
	}
	for i, f := range fields[1 : steal+2] { // what guests used stands in user time too
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, 0, 0
		}
		v /= ticksPerSecond
		all += v
		switch i {
		case idle, ioWait:
		case steal:
			stolen += v
		default:
			busy += v
		}
	}
	return all, busy, stolen
}

// ownTime is the processor time in seconds of this process and of those of its
// children that have ended.
func ownTime() float64 {
	sum := 0.0
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) != nil {
			return 0
		}
		sum += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	return sum
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
