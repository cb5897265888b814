// Package mutants breaks the model on purpose and asks whether the default
// campaign notices. A harness that finds nothing in a broken model is broken.
//
// Two kinds of damage are done. Flaws are named, one line each, chosen for what
// emulators get wrong. Mutants are drawn from a seed by operators on go/ast:
// swapped operators, constants off by one, narrowed widths, dropped checks and
// statements, and altered rows of the instruction table.
//
// Damage never touches the working tree. All of it is woven into one probe
// program by `go build -overlay`: a damaged function holds its original body
// and one body for each mutant, and an environment variable chooses which one
// a process runs. So a few hundred mutants cost one build, and every mutant
// runs alone, in a process of its own, which may crash or hang.
//
// The probe runs the default campaign (seeds first, then generated cases, the
// CPU and x86asm as references) and stops at the first divergence that is not
// known. The unmutated probe, same binary and same budget, must find nothing.
package mutants
