// Package shm is memory shared between processes and the futex words in it:
// what the runner of oracle/silicon and the workers behind the emulator's wall
// have in common.
//
// A reader of such memory distrusts it: read a field once into a private copy,
// validate the copy, then use the copy.
package shm

// PageSize is the size of a page of x86, and the granularity of every mapping.
const PageSize = 4096
