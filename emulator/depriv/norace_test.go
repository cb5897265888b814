//go:build !race

package depriv

const raceEnabled = false
