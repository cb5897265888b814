// Package x86 holds the words that every room of ringfence uses: modes,
// registers, flags, segments, events and the register state. It has no
// behaviour beyond naming: what instructions do with these words is the
// business of the packages above it.
//
// Names are those of the Intel 64 and IA-32 Architectures Software Developer's
// Manual (SDM) and the AMD64 Architecture Programmer's Manual (APM).
package x86
