package x86

import "fmt"

// EventType tells how an event came about, by the encoding of a VM-entry
// interruption-information field (SDM vol. 3, 25.8.3), which Xen uses too.
type EventType uint8

// The types of event that an instruction can raise.
const (
	EventNone EventType = iota
	// EventFault is a hardware exception that leaves RIP on the instruction.
	EventFault
	// EventTrap is a hardware exception after the instruction (#DB).
	EventTrap
	// EventSoftwareInterrupt is INT n.
	EventSoftwareInterrupt
	// EventSoftwareException is INT3 or INTO.
	EventSoftwareException
	// EventPrivSoftwareException is INT1 (ICEBP).
	EventPrivSoftwareException
)

var eventNames = [...]string{"none", "fault", "trap", "software_interrupt", "software_exception", "privileged_software_exception"}

// String returns the name of the case schema, as "fault".
func (t EventType) String() string {
	if int(t) < len(eventNames) {
		return eventNames[t]
	}
	return fmt.Sprintf("EventType(%d)", uint8(t))
}

// ParseEventType returns the type of that name.
func ParseEventType(name string) (EventType, error) {
	for i, n := range eventNames {
		if n == name {
			return EventType(i), nil
		}
	}
	return 0, fmt.Errorf("event type %q: want one of %v", name, eventNames)
}

// Vectors of the exceptions (SDM vol. 3, table 6-1).
const (
	VectorDE = 0
	VectorDB = 1
	VectorBP = 3
	VectorOF = 4
	VectorBR = 5
	VectorUD = 6
	VectorNM = 7
	VectorDF = 8
	VectorTS = 10
	VectorNP = 11
	VectorSS = 12
	VectorGP = 13
	VectorPF = 14
	VectorMF = 16
	VectorAC = 17
	VectorXM = 19
	VectorCP = 21
)

var vectorNames = map[uint8]string{
	VectorDE: "#DE", VectorDB: "#DB", VectorBP: "#BP", VectorOF: "#OF", VectorBR: "#BR", VectorUD: "#UD", VectorNM: "#NM",
	VectorDF: "#DF", VectorTS: "#TS", VectorNP: "#NP", VectorSS: "#SS", VectorGP: "#GP", VectorPF: "#PF", VectorMF: "#MF",
	VectorAC: "#AC", VectorXM: "#XM", VectorCP: "#CP",
}

// VectorName returns the manual's name of an exception vector, as "#GP", or
// "vector N".
func VectorName(v uint8) string {
	if n, ok := vectorNames[v]; ok {
		return n
	}
	return fmt.Sprintf("vector %d", v)
}

// Bits of a page-fault error code (SDM vol. 3, 4.7).
const (
	PFPresent  = 1 << 0
	PFWrite    = 1 << 1
	PFUser     = 1 << 2
	PFReserved = 1 << 3
	PFFetch    = 1 << 4
	PFKey      = 1 << 5
	PFShadow   = 1 << 6
)

// Event is an exception or software interrupt that an instruction raises. The
// zero value is no event.
type Event struct {
	Type   EventType
	Vector uint8
	// HasError says that ErrorCode is pushed for this vector.
	HasError  bool
	ErrorCode uint32
	// Address is what CR2 will hold; 0 unless Vector is #PF.
	Address uint64
	// Length is the length of the instruction in bytes (1 to 15) for software
	// interrupts and exceptions, which return behind it although RIP is still
	// on it; 0 otherwise. A fault returns to the instruction, whatever its
	// length, which need not even be known (a fetch that faults); so VM entry
	// takes a length for software events alone (SDM vol. 3, 25.8.3), as Xen
	// does (x86_event.insn_len). A trap is raised once RIP has moved on.
	Length uint8
}

// Fault returns a fault without error code.
func Fault(vector uint8) Event { return Event{Type: EventFault, Vector: vector} }

// FaultCode returns a fault with an error code.
func FaultCode(vector uint8, code uint32) Event {
	return Event{Type: EventFault, Vector: vector, HasError: true, ErrorCode: code}
}

// PageFault returns a #PF at the linear address.
func PageFault(code uint32, address uint64) Event {
	return Event{Type: EventFault, Vector: VectorPF, HasError: true, ErrorCode: code, Address: address}
}

// String returns the event as the manual writes it, as "#PF(0x6) at 0x1000".
func (e Event) String() string {
	switch {
	case e.Type == EventNone:
		return "none"
	case e.Vector == VectorPF:
		return fmt.Sprintf("#PF(%#x) at %#x", e.ErrorCode, e.Address)
	case e.HasError:
		return fmt.Sprintf("%s(%#x)", VectorName(e.Vector), e.ErrorCode)
	case e.Type == EventSoftwareInterrupt:
		return fmt.Sprintf("INT %#x", e.Vector)
	}
	return VectorName(e.Vector)
}
