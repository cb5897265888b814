package clib

import "github.com/seed-4e121ece/ringfence/oracle"

// ZydisQuirks returns the known faults of Zydis 4.0.0.
func ZydisQuirks() []oracle.Quirk { return nil }
