// Package external is the exec: protocol, by which an engine in a process of
// its own, in any language, takes part: a decoder or executor of this house.
// docs/ENGINES.md specifies it.
//
// The near end is Decoder and Executor: they start the process, ask it in
// batches, and answer for it when it crashes, hangs, floods or talks nonsense:
// that is the recorded result of the one string or case that caused it, the
// process is started again, and the rest of the batch goes on. The far end is
// Serve, for engines that are written in Go. Check tests whether a program
// keeps to the protocol.
package external
