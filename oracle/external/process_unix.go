//go:build unix

package external

import (
	"os/exec"
	"syscall"
)

// setGroup puts the engine in a process group of its own, so that what it
// starts can be ended with it, and an interrupt from the terminal reaches only
// ringfence.
func setGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends the engine and what it started.
func killGroup(cmd *exec.Cmd) {
	// An error means that it has ended.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Process.Kill()
}
