package bench

import "time"

// Schema is the version of the JSON form.
const Schema = 1

// Result is all that a run has measured. Times are nanoseconds unless their name
// says otherwise.
type Result struct {
	Machine    Machine      `json:"machine"`
	Run        RunFacts     `json:"run"`
	Parameters Parameters   `json:"parameters"`
	Floors     []Floor      `json:"floors"`
	Rungs      []Rung       `json:"rungs"`
	Cells      []Cell       `json:"cells"`
	Echoes     []Echo       `json:"echoes"`
	Contention []Contention `json:"contention"`
	Places     []Place      `json:"places"`
	Sparse     []Sparse     `json:"sparse"`
	Pollution  []Pollution  `json:"pollution"`
	Lives      []Life       `json:"lives"`
	// Trusted are the sizes of the parts on each side of the wall, if the
	// source is there.
	Trusted []Trusted `json:"trusted,omitempty"`
}

// Machine tells on what a run was made, without a name of it.
type Machine struct {
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	CPU       string `json:"cpu"`
	Signature string `json:"signature"`
	CPUs      int    `json:"cpus"`
	// Hypervisor is CPUID's name of it, "" on bare metal.
	Hypervisor string `json:"hypervisor"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	// Mitigations are the kernel's words about what costs a switch of process.
	Mitigations []string `json:"mitigations,omitempty"`
	// Sandbox is what holds a worker, and what this machine refuses.
	Sandbox []string `json:"sandbox,omitempty"`
}

// RunFacts tells how a run went.
type RunFacts struct {
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Rounds  int       `json:"rounds"`
	// Interrupted is set if the run was ended before its time.
	Interrupted bool   `json:"interrupted"`
	Seed        uint64 `json:"seed"`
	Commit      string `json:"commit,omitempty"`
	// Load is the load average of a minute, a value a round.
	Load Summary `json:"load"`
	// Others is the share of the machine's processor time that other processes
	// used, Steal the share that the hypervisor gave to others, a value a round.
	Others Summary `json:"others"`
	Steal  Summary `json:"steal"`
	// Disturbed is how many rounds had more of the two together than Quiet.
	Disturbed int `json:"disturbed_rounds"`
	// Timer is what reading the clock costs; it is taken off single requests.
	Timer float64 `json:"timer_ns"`
	// Notes are what a reader has to know, as that walls do not run here.
	Notes []string `json:"notes,omitempty"`
}

// Quiet is the most that others may have of the processor time in a round that
// is not called disturbed.
const Quiet = 0.03

// Noisy says that so many rounds were disturbed that the medians may be too.
func (f *RunFacts) Noisy() bool { return 4*f.Disturbed > f.Rounds }

// Parameters are what a run cannot measure, given by whoever runs it.
type Parameters struct {
	// Exit is what an exit of the guest and its re-entry cost; 0 if not given.
	Exit float64 `json:"exit_ns"`
	// ExitSource tells where the figure is from.
	ExitSource string `json:"exit_source"`
	// Hook is what a real hook of a hypervisor costs for a memory operand: page
	// walk and mapping; 0 if not given.
	Hook       float64 `json:"hook_ns"`
	HookSource string  `json:"hook_source"`
	// Barrier is what a predictor barrier (IBPB) costs; 0 if not given.
	Barrier       float64 `json:"barrier_ns"`
	BarrierSource string  `json:"barrier_source"`
	// Mixes are the mixes of instructions that a guest's exits are made of.
	Mixes []Mix `json:"mixes"`
}

// Floor is the cost of something without an emulator.
type Floor struct {
	Name  string  `json:"name"`
	About string  `json:"about"`
	Time  Summary `json:"ns"`
	Tail  Tail    `json:"tail"`
	// Missing tells why there is no figure.
	Missing string `json:"missing,omitempty"`
	// Values are the rounds' values of Time.
	Values []float64 `json:"values,omitempty"`
}

// Rung is a way to step: in-process, or by a transport and a protocol.
type Rung struct {
	// Name is "direct", or transport and protocol as "futex/message".
	Name      string `json:"name"`
	Transport string `json:"transport"`
	Protocol  string `json:"protocol"`
	// Walled says that the worker is a process of its own.
	Walled bool `json:"walled"`
	// Allocations are those of the caller's path, a step.
	Allocations float64 `json:"allocations"`
	// Missing tells why there is no figure.
	Missing string `json:"missing,omitempty"`
}

// Direct is the name of the rung without transport or protocol: the emulator is
// called, and asks its Bus itself.
const Direct = "direct"

// Cell is one measurement of the ladder. All times are of one request.
type Cell struct {
	Rung  string `json:"rung"`
	Class string `json:"class"`
	Batch int    `json:"batch"`
	// Time is the time of a request, a value a round: the median of blocks of
	// requests. Added is how much that is above Direct in the same round.
	Time  Summary `json:"ns"`
	Added Summary `json:"added_ns"`
	// CPU is the processor time of caller and worker together.
	CPU Summary `json:"cpu_ns"`
	// Crossings over the wall and back.
	Crossings float64 `json:"crossings"`
	// Tail is of single exchanges (a whole batch).
	Tail Tail `json:"tail"`
	// Values are the rounds' values of Time, for the benchmark format.
	Values   []float64 `json:"values"`
	Requests []uint64  `json:"requests"`
}

// Echo is an empty request over a transport: what it costs without emulator.
type Echo struct {
	Transport string  `json:"transport"`
	Batch     int     `json:"batch"`
	Time      Summary `json:"ns"`
	Tail      Tail    `json:"tail"`
}

// Contention is several virtual CPUs that step at once as fast as they can.
type Contention struct {
	Rung  string `json:"rung"`
	VCPUs int    `json:"vcpus"`
	// Shared says that they share one worker, which takes them in turn; else
	// each has one of its own.
	Shared bool `json:"shared"`
	// Tail is of single steps, waiting for the worker included.
	Tail Tail `json:"tail"`
	// Throughput is steps a second of all together; PerCore is that for each
	// second of processor time.
	Throughput Summary `json:"per_second"`
	PerCore    Summary `json:"per_core_second"`
}

// Place is a step whose worker is on a CPU that was chosen for it.
type Place struct {
	Rung string `json:"rung"`
	// Where is PlaceSame or PlaceOther.
	Where string `json:"where"`
	// Neighbour says that something else wants all of the worker's CPU.
	Neighbour bool    `json:"neighbour"`
	Time      Summary `json:"ns"`
	Tail      Tail    `json:"tail"`
}

// Where a worker is, seen from its caller.
const (
	PlaceSame  = "same CPU"
	PlaceOther = "other CPU"
)

// Sparse is a virtual CPU that exits now and then and computes meanwhile.
type Sparse struct {
	Rung string `json:"rung"`
	// Gap is the time between two requests.
	Gap  float64 `json:"gap_ns"`
	Tail Tail    `json:"tail"`
	// Worker is the worker's processor time a request: spinning while nothing
	// comes costs too.
	Worker Summary `json:"worker_cpu_ns"`
}

// Pollution is what a crossing does to the caller's own work after it.
type Pollution struct {
	Rung string `json:"rung"`
	// Work is the name of the work.
	Work string `json:"work"`
	// Time is that of the work after a step, Added how much that is above the
	// same work after a step in-process, in the same round.
	Time  Summary `json:"ns"`
	Added Summary `json:"added_ns"`
}

// Life is something in the life of a worker.
type Life struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// Unit is "ns" or "bytes".
	Unit  string  `json:"unit"`
	Value Summary `json:"value"`
	// Values are the rounds' values.
	Values []float64 `json:"values"`
}
