// Package bench measures what the wall around the emulator costs: the ladder of
// transports, each protocol over each, batches and classes of instruction, in
// turn and repeatedly so that what drifts on a machine drifts for all of them,
// beside floors of the same minute (what a system call, a cache line or a switch
// between processes costs without an emulator).
//
// Run measures and returns a Result; Result writes itself in the benchmark
// format of Go, as JSON and as a page of HTML that needs nothing else. What a
// figure means, and what it does not, is said in docs/BENCH.md.
package bench
