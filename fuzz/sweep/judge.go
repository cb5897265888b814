package sweep

import (
	"encoding/hex"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
)

// Confirmed is what the CPU makes of a quirk, by opcodes: that the reference
// is wrong as the quirk says, that it is not, or nothing, because it does not
// have the instruction or the difference is one of names.
type Confirmed struct {
	Yes    int `json:"yes"`
	No     int `json:"no"`
	Silent int `json:"silent"`
	// Against is an example on which the CPU contradicts.
	Against string `json:"against,omitempty"`
}

// judgeShare is the share of all disagreements above which a quirk needs the
// CPU's evidence opcode by opcode: one in a hundred.
const judgeShare = 100

// Judge asks the CPU about the example of each class that nothing explains,
// and, opcode by opcode, about the quirks that absorb more than one in a
// hundred disagreements. all is what the sweep decoded for (Config.All), host the
// profile of that CPU.
func (t *Table) Judge(cpu oracle.BatchDecoder, mode x86.Mode, all, host *isa.Profile) map[string]Confirmed {
	out := map[string]Confirmed{}
	arbiter := *all
	arbiter.Vendor = host.Vendor
	judge := judgement{cpu: cpu, mode: mode, arbiter: model.NewDecoder(&arbiter), host: model.NewDecoder(host)}
	for _, c := range t.List() {
		switch {
		case c.Quirk == "":
			if c.Subject != cpu.Name() && c.Reference != cpu.Name() {
				c.CPU = judge.says(c.Example)
			}
		case c.Count*judgeShare > t.Differ && !strings.HasPrefix(c.Quirk, "cpu/") && !strings.HasPrefix(c.Quirk, cpu.Name()+"/"):
			k := out[c.Quirk]
			for _, o := range c.Opcodes {
				judge.confirm(&k, c.Fields, o.Example)
			}
			out[c.Quirk] = k
		}
	}
	return out
}

type judgement struct {
	cpu           oracle.BatchDecoder
	mode          x86.Mode
	arbiter, host *model.Decoder
}

func (j *judgement) ask(example string) (d oracle.Decoded, code []byte) {
	code, err := hex.DecodeString(example)
	if err != nil || len(code) == 0 {
		return d, nil
	}
	out := []oracle.Decoded{{}}
	j.cpu.DecodeBatch([][]byte{code}, j.mode, out)
	return out[0], code
}

// says returns the CPU's answer to an example.
func (j *judgement) says(example string) string {
	d, code := j.ask(example)
	switch {
	case code == nil:
		return ""
	case d.Ending != oracle.Ended:
		return d.Ending.String()
	case !d.Covered:
		return "unclear"
	case d.Valid:
		return answer(&d)
	}
	var host, all oracle.Decoded
	j.host.Decode(code, j.mode, &host)
	j.arbiter.Decode(code, j.mode, &all)
	if all.Valid && !host.Valid {
		return "undefined (this CPU lacks the feature)"
	}
	return d.Reason
}

// confirm counts whether the CPU says what the quirk calls true, which is the
// arbiter's answer.
func (j *judgement) confirm(k *Confirmed, fields, example string) {
	d, code := j.ask(example)
	if code == nil || d.Ending != oracle.Ended || !d.Covered || !strings.Contains(fields, "validity") && !strings.Contains(fields, "length") {
		k.Silent++
		return
	}
	var host, all oracle.Decoded
	j.host.Decode(code, j.mode, &host)
	j.arbiter.Decode(code, j.mode, &all)
	switch {
	case all.Valid != host.Valid || all.Valid && !d.Valid && undefinedHere(code, j.mode, &host):
		k.Silent++ // this CPU cannot tell
	case all.Valid == d.Valid && (!d.Valid || all.Length == d.Length):
		k.Yes++
	default:
		k.No++
		if k.Against == "" || len(example) < len(k.Against) {
			k.Against = example
		}
	}
}
