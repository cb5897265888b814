// Package base stands below all others of the stand-in.
package base

// Width is a width in bits.
type Width uint8

// The widths.
const (
	W8  Width = 8
	W16 Width = 16
)
