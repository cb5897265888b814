package silicon

import (
	"encoding/binary"

	"github.com/seed-4e121ece/ringfence/oracle"
)

// addStray puts a word in its place by address. The list holds the first
// MaxStray; NumStray counts all.
func addStray(r *oracle.Result, w oracle.StrayWord) {
	have := min(r.NumStray, oracle.MaxStray)
	at := have
	for at > 0 && r.Stray[at-1].Address > w.Address {
		at--
	}
	if at < oracle.MaxStray {
		copy(r.Stray[at+1:min(have+1, oracle.MaxStray)], r.Stray[at:])
		r.Stray[at] = w
	}
	r.NumStray++
}

// addMargins reports what changed in the bytes by which windows were widened:
// to the case they are outside. Words are reported whole, with the bytes of a
// window among them as they are after the run.
func (g *geometry) addMargins(p *plan, out []byte, r *oracle.Result) {
	last := ^uint64(0) // margins are in order; a short window has two in one word
	for i := range g.margins {
		m := &g.margins[i]
		for j := range m.length {
			addr := m.addr + uint64(j)
			was := m.fill
			if d := addr - p.blockAt; d < codeBytes {
				was = p.block[d] // the code of the case
			}
			if out[m.offset+j] == was || addr&^7 == last {
				continue
			}
			last = addr &^ 7
			at := m.offset + j - int(addr&7) // windows begin at a block, so words do not cross
			addStray(r, oracle.StrayWord{Address: last, Value: binary.LittleEndian.Uint64(out[at:])})
		}
	}
}

// addCode reports what the case changed of its own block of code, where code
// pages are writable and no window covers it.
func (g *geometry) addCode(p *plan, after *[codeBytes]byte, r *oracle.Result) {
	if g.runs[p.run].prot&oracle.ProtWrite == 0 {
		return
	}
	for i := 0; i < codeBytes; i += 8 {
		old, now := binary.LittleEndian.Uint64(p.block[i:]), binary.LittleEndian.Uint64(after[i:])
		if old != now && g.inBlock(p.blockAt+uint64(i)) == nil {
			addStray(r, oracle.StrayWord{Address: p.blockAt + uint64(i), Value: now})
		}
	}
}
