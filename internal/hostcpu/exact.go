package hostcpu

// exactCPUs are the CPUs whose choices, where the manuals leave flags and results
// undefined, the model makes too. Evidence: `ringfence fuzz --strict` on such a
// CPU found no difference that it does not find without --strict.
var exactCPUs = []struct {
	vendor        string
	family, model int
}{
	{"GenuineIntel", 0x6, 0xa7}, // `make states`: each general-purpose row in 10,000 states in three modes
}

// Exact says whether the model knows what this CPU does where the manuals leave
// it undefined.
func Exact() bool {
	family, model, _ := Signature()
	for _, c := range exactCPUs {
		if c.vendor == Vendor() && c.family == family && c.model == model {
			return true
		}
	}
	return false
}
