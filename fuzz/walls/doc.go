// Package walls holds the tests that the emulator behind the wall, by every
// transport and protocol, answers cases as it does in-process.
package walls
