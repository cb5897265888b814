//go:build race

package depriv

// raceEnabled: the race detector needs system calls that no worker may make.
const raceEnabled = true
