// Package sandbox takes every privilege from a worker process: what it needs is
// passed as descriptors at its start, and nothing can be opened afterwards. It
// works unprivileged. What a machine refuses is reported, mechanism by
// mechanism.
package sandbox

import (
	"fmt"
	"strings"
)

// Mechanism is a set of ways to hold a process back. Most of them stop the same
// things: each alone is meant to hold where another has a hole.
type Mechanism uint16

// The mechanisms, in the order in which they come into force.
const (
	// Namespaces: user, mount, process, network, IPC, host name and cgroup
	// namespaces of its own.
	Namespaces Mechanism = 1 << iota
	// Identity: where the caller is root, the worker is nobody.
	Identity
	// ParentDeath: SIGKILL when the caller dies.
	ParentDeath
	// NoNewPrivs: no execution gives privilege (prctl PR_SET_NO_NEW_PRIVS).
	NoNewPrivs
	// Landlock: no file, no TCP port, and no signal or abstract socket out of
	// the sandbox.
	Landlock
	// Descriptors: all closed but those that were passed.
	Descriptors
	// NotDumpable: no core, and no other process of the user attaches.
	NotDumpable
	// DenyWriteExec: no memory becomes executable (prctl PR_SET_MDWE).
	DenyWriteExec
	// Limits: no new descriptor, process, file growth, core, locked memory, and
	// a bound on the address space (setrlimit).
	Limits
	// Seccomp: a list of system calls, and death for any other.
	Seccomp
	// All is every mechanism.
	All Mechanism = 1<<iota - 1
)

var names = [...]string{
	"namespaces", "identity", "parent_death", "no_new_privs", "landlock", "descriptors", "not_dumpable", "deny_write_exec", "limits", "seccomp",
}

// String returns the names, as "landlock,seccomp".
func (m Mechanism) String() string {
	var s []string
	for i, n := range names {
		if m&(1<<i) != 0 {
			s = append(s, n)
		}
	}
	return strings.Join(s, ",")
}

// Parse returns the set of the names, separated by commas.
func Parse(list string) (Mechanism, error) {
	var m Mechanism
next:
	for _, name := range strings.Split(list, ",") {
		for i, n := range names {
			if n == name {
				m |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("sandbox: mechanism %q: want some of %s", name, strings.Join(names[:], ","))
	}
	return m, nil
}

// Item is what has come of a mechanism.
type Item struct {
	Mechanism string `json:"mechanism"`
	On        bool   `json:"on"`
	// Detail tells what is in force, or why it is not.
	Detail string `json:"detail"`
}

// Report is what has come of each mechanism that was asked for.
type Report []Item

// On is the set of the mechanisms that are in force.
func (r Report) On() Mechanism {
	var m Mechanism
	for _, i := range r {
		if one, err := Parse(i.Mechanism); err == nil && i.On {
			m |= one
		}
	}
	return m
}

// Refused tells what a machine refused of what was asked, one mechanism a part;
// "" if nothing.
func (r Report) Refused(asked Mechanism) string {
	var s []string
	for _, i := range r {
		if one, err := Parse(i.Mechanism); err == nil && !i.On && one&asked != 0 {
			s = append(s, i.Mechanism+": "+i.Detail)
		}
	}
	if missing := asked &^ r.named(); missing != 0 {
		s = append(s, missing.String()+": nothing was reported")
	}
	return strings.Join(s, "; ")
}

func (r Report) named() Mechanism {
	var m Mechanism
	for _, i := range r {
		one, _ := Parse(i.Mechanism)
		m |= one
	}
	return m
}

// add notes what has come of a mechanism.
func (r *Report) add(m Mechanism, err error, format string, args ...any) {
	i := Item{Mechanism: m.String(), On: err == nil, Detail: fmt.Sprintf(format, args...)}
	if err != nil {
		i.Detail = err.Error()
	}
	*r = append(*r, i)
}
