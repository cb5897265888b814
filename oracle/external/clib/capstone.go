package clib

import "github.com/seed-4e121ece/ringfence/oracle"

// CapstoneQuirks returns the known faults of capstone 4.0.2.
func CapstoneQuirks() []oracle.Quirk { return nil }
