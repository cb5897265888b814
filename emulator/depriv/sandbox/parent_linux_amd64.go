package sandbox

import (
	"os"
	"syscall"
)

// nobody is the user and group without rights that every system has.
const nobody = 65534

// namespaces of the worker.
const namespaces = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC |
	syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP

// Attr is what the mechanisms ask of the start of the process. The worker's
// Report then covers the rest; Started adds what was done here.
func Attr(asked Mechanism) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the caller
	user, group := os.Getuid(), os.Getgid()
	if user == 0 && asked&Identity != 0 {
		a.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		user, group = nobody, nobody
	}
	if asked&Namespaces != 0 {
		a.Cloneflags = namespaces
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: user, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: group, Size: 1}}
		// As the user that the only mapping knows, without capabilities.
		a.Credential = &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: os.Getuid() != 0}
		a.GidMappingsEnableSetgroups = os.Getuid() == 0
	}
	return a
}

// Started reports the mechanisms of Attr. refused is why the namespaces were
// not to be had, nil if they were.
func Started(asked Mechanism, refused error) Report {
	var r Report
	if asked&Namespaces != 0 {
		r.add(Namespaces, refused, "user, mount, process, network, IPC, host name, cgroup")
	}
	if asked&Identity != 0 {
		if os.Getuid() == 0 {
			r.add(Identity, nil, "user and group %d", nobody)
		} else {
			r.add(Identity, nil, "the caller's, which is not root")
		}
	}
	return r
}
