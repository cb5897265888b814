// Package fuzz holds the targets of go test -fuzz:
//
//   - FuzzDecode: the model's decoder against x86asm, and Zydis and capstone
//     where these libraries are, in three modes, and against the CPU's word on
//     validity and length;
//   - FuzzExecute: the model against the CPU, many states an input;
//   - FuzzContract: the model against a Bus that may answer anything; needs no
//     reference.
//
// A divergence whose signature stands in testdata/known, or in the folder that
// RINGFENCE_OUT names, fails no target. A new one is made small, written to
// that folder (or one for the test), and fails with the command that replays
// it.
//
// The package imports no more than it needs: the cost of an execution under
// the Go fuzzer grows with the coverage counters of the whole binary. What
// generates, compares, shrinks and records stands in the packages below.
package fuzz
