package x86

import "strings"

// Flags is a set of bits of RFLAGS (SDM vol. 1, 3.4.3).
type Flags uint64

// The bits of RFLAGS.
const (
	CF   Flags = 1 << 0
	PF   Flags = 1 << 2
	AF   Flags = 1 << 4
	ZF   Flags = 1 << 6
	SF   Flags = 1 << 7
	TF   Flags = 1 << 8
	IF   Flags = 1 << 9
	DF   Flags = 1 << 10
	OF   Flags = 1 << 11
	IOPL Flags = 3 << 12
	NT   Flags = 1 << 14
	RF   Flags = 1 << 16
	VM   Flags = 1 << 17
	AC   Flags = 1 << 18
	VIF  Flags = 1 << 19
	VIP  Flags = 1 << 20
	ID   Flags = 1 << 21

	// FlagsFixed is bit 1, which always reads as one.
	FlagsFixed Flags = 1 << 1
	// FlagsStatus are the six status flags.
	FlagsStatus = CF | PF | AF | ZF | SF | OF
	// FlagsUser are the flags that POPF changes at CPL 3 with IOPL 0.
	FlagsUser = FlagsStatus | TF | DF | NT | AC | ID
)

var flagNames = []struct {
	bit  Flags
	name string
}{
	{CF, "CF"},
	{PF, "PF"},
	{AF, "AF"},
	{ZF, "ZF"},
	{SF, "SF"},
	{TF, "TF"},
	{IF, "IF"},
	{DF, "DF"},
	{OF, "OF"},
	{IOPL, "IOPL"},
	{NT, "NT"},
	{RF, "RF"},
	{VM, "VM"},
	{AC, "AC"},
	{VIF, "VIF"},
	{VIP, "VIP"},
	{ID, "ID"},
}

// String returns the names of the bits that are set, as "CF ZF".
func (f Flags) String() string {
	var b strings.Builder
	for _, n := range flagNames {
		if f&n.bit != 0 {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(n.name)
		}
	}
	return b.String()
}

// ParseFlag returns the flag of that name ("CF"), or 0.
func ParseFlag(name string) Flags {
	for _, n := range flagNames {
		if n.name == name {
			return n.bit
		}
	}
	return 0
}
