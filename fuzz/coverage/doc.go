// Package coverage holds the acceptance test that runs every distinct encoding
// of real programs on the model and on the CPU. It has no code of its own.
package coverage
