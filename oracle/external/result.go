package external

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/step"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// resultAnswer is an executor's answer, in the schema of `ringfence exec`.
type resultAnswer struct {
	Outcome    string          `json:"outcome"`
	Field      string          `json:"field"`
	Reason     string          `json:"reason"`
	Note       string          `json:"note"`
	Event      *eventAnswer    `json:"event"`
	Partial    bool            `json:"partial"`
	Steps      int             `json:"steps"`
	Registers  json.RawMessage `json:"registers"`
	Memory     []memoryAnswer  `json:"memory"`
	Stray      []strayAnswer   `json:"stray"`
	StrayCount int             `json:"stray_count"`
	Retire     *[]string       `json:"retire"`
	Accesses   *[]accessAnswer `json:"accesses"`
	Promise    string          `json:"promise"`
	Unknown    []string        `json:"unknown"`
	Error      string          `json:"error"`
}

type eventAnswer struct {
	Type      string  `json:"type"`
	Vector    uint8   `json:"vector"`
	ErrorCode *uint32 `json:"error_code"`
	Address   hexNum  `json:"address"`
	Length    uint8   `json:"length"`
}

type memoryAnswer struct {
	Address hexNum `json:"address"`
	Bytes   string `json:"bytes"`
	Length  int    `json:"length"`
}

type strayAnswer struct {
	Address hexNum `json:"address"`
	Value   hexNum `json:"value"`
}

type accessAnswer struct {
	Segment string `json:"segment"`
	Offset  hexNum `json:"offset"`
	Size    uint8  `json:"size"`
	Intent  string `json:"intent"`
}

// hexNum is a number in a string: hex digits with 0x.
type hexNum uint64

// UnmarshalJSON implements json.Unmarshaler.
func (h *hexNum) UnmarshalJSON(b []byte) error {
	s := string(b)
	if len(s) < 5 || !strings.HasPrefix(s, `"0x`) || s[len(s)-1] != '"' {
		return fmt.Errorf(`%s: want a string of hex digits with 0x, as "0x1f"`, clip(s))
	}
	v, err := strconv.ParseUint(s[3:len(s)-1], 16, 64)
	*h = hexNum(v)
	if err != nil {
		return fmt.Errorf("%s: want at most 64 bits in hex digits", clip(s))
	}
	return nil
}

// endings are those that an engine may give a case, by name.
var endings = map[string]oracle.Ending{
	oracle.Unsupported.String(): oracle.Unsupported,
	oracle.SystemCall.String():  oracle.SystemCall,
	oracle.RanAway.String():     oracle.RanAway,
	oracle.Died.String():        oracle.Died,
	oracle.Quarantined.String(): oracle.Quarantined,
}

// take fills r. Its error is nonsense: what the engine must not say.
func (a *resultAnswer) take(c *oracle.Case, hello *Hello, r *oracle.Result) error {
	*r = oracle.Result{Memory: r.Memory}
	if a.Error != "" {
		return fmt.Errorf("the engine answers with an error: %s", clip(a.Error))
	}
	if e, ok := endings[a.Outcome]; ok {
		r.Ending, r.Note = e, clip(a.Note)
		if e == oracle.Unsupported {
			if a.Field == "" {
				return fmt.Errorf(`outcome "unsupported" without "field"`)
			}
			if r.Note = clip(a.Field); a.Reason != "" {
				r.Note += ": " + clip(a.Reason)
			}
		}
		return nil
	}
	var err error
	if r.Outcome, err = step.ParseOutcome(a.Outcome); err != nil {
		return err
	}
	if r.Outcome == step.Done || r.Outcome == step.CmpxchgFailed {
		// An inside outcome that escaped breaks a promise; the comparison
		// says so.
		r.Promise = "the outcome " + a.Outcome + " left the emulator"
	}
	if err := a.takeUnknown(hello, r); err != nil {
		return err
	}
	if err := a.takeEvent(r); err != nil {
		return err
	}
	if a.Steps < 0 || a.Steps > max(c.Steps, 1) {
		return fmt.Errorf("steps %d of a case with %d", a.Steps, max(c.Steps, 1))
	}
	r.Steps, r.Partial = a.Steps, a.Partial
	if a.Promise != "" {
		r.Promise = clip(a.Promise)
	}
	if err := a.takeRegisters(c, r); err != nil {
		return err
	}
	if err := a.takeMemory(c, r); err != nil {
		return err
	}
	return a.takeSeen(r)
}

func (a *resultAnswer) takeUnknown(hello *Hello, r *oracle.Result) error {
	for _, name := range hello.Unknown {
		r.Unknown |= resultFields[name]
	}
	for _, name := range a.Unknown {
		f, ok := resultFields[name]
		if !ok {
			return fmt.Errorf("unknown: %q is no field of a result", name)
		}
		r.Unknown |= f
	}
	if r.Unknown&(oracle.FieldEnding|oracle.FieldOutcome|oracle.FieldPromise) != 0 {
		return fmt.Errorf("unknown: ending, outcome and promise cannot be unknown")
	}
	if a.Retire == nil {
		r.Unknown |= oracle.FieldRetire
	}
	if a.Accesses == nil {
		r.Unknown |= oracle.FieldAccesses
	}
	return nil
}

func (a *resultAnswer) takeEvent(r *oracle.Result) error {
	switch {
	case a.Event == nil && r.Outcome == step.Exception:
		return fmt.Errorf(`outcome "exception" without "event"`)
	case a.Event == nil:
		return nil
	case r.Outcome != step.Exception:
		return fmt.Errorf("an event with the outcome %s", a.Outcome)
	}
	t, err := x86.ParseEventType(a.Event.Type)
	if err != nil {
		return err
	}
	if t == x86.EventNone {
		return fmt.Errorf("event type none")
	}
	r.Event = x86.Event{Type: t, Vector: a.Event.Vector, Length: a.Event.Length}
	if a.Event.ErrorCode != nil {
		r.Event.HasError, r.Event.ErrorCode = true, *a.Event.ErrorCode
	}
	if r.Event.Vector == x86.VectorPF {
		r.Event.Address = uint64(a.Event.Address)
	}
	return nil
}

// needed are the registers that an answer must have, unless their field is
// unknown.
var needed = func() (list []neededRegister) {
	for n := range uint8(x86.NumGPR) {
		list = append(list, neededRegister{x86.GPRName(n, 8), oracle.FieldGPR})
	}
	for s := range x86.Segment(x86.NumSegment) {
		list = append(list, neededRegister{s.String(), oracle.FieldSelectors})
	}
	return append(list, neededRegister{"rip", oracle.FieldRIP}, neededRegister{"rflags", oracle.FieldFlags},
		neededRegister{"fsbase", oracle.FieldBases}, neededRegister{"gsbase", oracle.FieldBases})
}()

type neededRegister struct {
	name  string
	field oracle.Field
}

// takeRegisters takes the registers; all of them must be there but those of a
// field that is unknown. Without an outcome that changes state, none need be.
// Of x87 and vector registers, those that are not there are as before; with
// none of them the state is unknown.
func (a *resultAnswer) takeRegisters(c *oracle.Case, r *oracle.Result) error {
	after := oracle.Case{State: c.State, FSBase: c.FSBase, GSBase: c.GSBase}
	if c.State.FPU != nil {
		fpu := *c.State.FPU
		after.State.FPU = &fpu
	}
	none := len(a.Registers) == 0 && r.Outcome != step.Okay && r.Outcome != step.Exception
	if !none {
		if err := a.readRegisters(&after, r); err != nil {
			return fmt.Errorf("registers: %w", err)
		}
	}
	r.State, r.FSBase, r.GSBase = after.State, after.FSBase, after.GSBase
	if r.Unknown&oracle.FieldFPU != 0 || c.State.FPU == nil {
		r.State.FPU = nil
	}
	return nil
}

func (a *resultAnswer) readRegisters(after *oracle.Case, r *oracle.Result) error {
	if len(a.Registers) == 0 {
		a.Registers = json.RawMessage("{}")
	}
	names, err := oracle.ParseRegisters(a.Registers, after)
	if err != nil {
		return err
	}
	var missing []string
	core := 0
	for _, n := range needed {
		switch {
		case slices.Contains(names, n.name):
			core++
		case r.Unknown&n.field == 0:
			missing = append(missing, n.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf(`no %s: want all, or the field in "unknown"`, strings.Join(missing, ", "))
	}
	if core == len(names) && after.State.FPU != nil {
		r.Unknown |= oracle.FieldFPU
	}
	return nil
}

// takeMemory takes what memory holds after the run: what is not named is
// unchanged. Bytes outside the windows become stray words.
func (a *resultAnswer) takeMemory(c *oracle.Case, r *oracle.Result) error {
	copy(r.Memory, c.Memory)
	m := afterwards{c: c, r: r, words: map[uint64]uint64{}}
	for i := range a.Memory {
		e := &a.Memory[i]
		b, err := hex.DecodeString(e.Bytes)
		if err != nil || len(b) == 0 {
			return fmt.Errorf("memory[%d]: bytes %q: want hex digits in pairs", i, clip(e.Bytes))
		}
		n := max(e.Length, len(b))
		if e.Length < 0 || n > maxMemory {
			return fmt.Errorf("memory[%d]: length %d: want at most %d", i, e.Length, maxMemory)
		}
		for k := range n {
			if err := m.put(uint64(e.Address)+uint64(k), b[k%len(b)]); err != nil {
				return fmt.Errorf("memory[%d]: %w", i, err)
			}
		}
	}
	for i, s := range a.Stray {
		if s.Address%8 != 0 {
			return fmt.Errorf("stray[%d]: address %#x: want a multiple of 8", i, uint64(s.Address))
		}
		for k := range uint64(8) {
			if err := m.put(uint64(s.Address)+k, byte(s.Value>>(8*k))); err != nil {
				return fmt.Errorf("stray[%d]: %w", i, err)
			}
		}
	}
	m.finish()
	r.NumStray = max(r.NumStray, min(a.StrayCount, maxMemory))
	return nil
}

// maxMemory bounds a memory entry of an answer in bytes.
const maxMemory = 1 << 22

// afterwards is memory after a run, being read.
type afterwards struct {
	c     *oracle.Case
	r     *oracle.Result
	words map[uint64]uint64
}

// put sets one byte.
func (m *afterwards) put(address uint64, b byte) error {
	at := 0
	for _, w := range m.c.Layout.Windows {
		if i := address - w.Address; i < uint64(w.Length) {
			m.r.Memory[at+int(i)] = b
			return nil
		}
		at += w.Length
	}
	old, ok := m.c.Byte(address)
	if !ok {
		return fmt.Errorf("address %#x: not mapped in the case", address)
	}
	word := address &^ 7
	v, known := m.words[word]
	if !known {
		if b == old {
			return nil
		}
		for i := range uint64(8) {
			x, _ := m.c.Byte(word + i)
			v |= uint64(x) << (8 * i)
		}
	}
	shift := 8 * (address & 7)
	m.words[word] = v&^(0xff<<shift) | uint64(b)<<shift
	return nil
}

// finish makes the stray words.
func (m *afterwards) finish() {
	if len(m.words) == 0 {
		return
	}
	list := make([]oracle.StrayWord, 0, len(m.words))
	for address, v := range m.words {
		list = append(list, oracle.StrayWord{Address: address, Value: v})
	}
	slices.SortFunc(list, func(a, b oracle.StrayWord) int {
		if a.Address < b.Address {
			return -1
		}
		return 1
	})
	m.r.NumStray = len(list)
	copy(m.r.Stray[:], list)
}

// takeSeen takes what only some engines see: retire flags and accesses.
func (a *resultAnswer) takeSeen(r *oracle.Result) error {
	if a.Retire != nil {
		for _, name := range *a.Retire {
			f := retireNamed(name)
			if f == 0 {
				return fmt.Errorf("retire: %q: want hlt, mov_ss, sti, unblock_nmi or singlestep", clip(name))
			}
			r.Retire |= f
		}
	}
	if a.Accesses == nil {
		return nil
	}
	for i, x := range *a.Accesses {
		s := step.Access{Offset: uint64(x.Offset), Size: x.Size, Segment: 255, Intent: 255}
		for n := range x86.SegNone + 1 {
			if n.String() == x.Segment {
				s.Segment = n
			}
		}
		for n := step.IntentRead; n <= step.IntentSystem; n++ {
			if n.String() == x.Intent {
				s.Intent = n
			}
		}
		if s.Segment == 255 || s.Intent == 255 {
			return fmt.Errorf("accesses[%d]: segment %q, intent %q: want a segment register; read, modify, write, fetch or system", i, clip(x.Segment), clip(x.Intent))
		}
		r.Accesses = append(r.Accesses, s)
	}
	return nil
}

func retireNamed(name string) step.Retire {
	for i := range 8 {
		if f := step.Retire(1 << i); name != "" && f.String() == name {
			return f
		}
	}
	return 0
}
