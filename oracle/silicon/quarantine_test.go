package silicon

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

func shapeOf(t *testing.T, code string) *shape {
	b, err := hex.DecodeString(code)
	require.NoError(t, err)
	var s shape
	s.analyse(b, 64, branchUnknown)
	return &s
}

func TestQuarantine(t *testing.T) {
	for _, c := range []struct {
		code, reason string
	}{
		{"0f31", reasonTime},
		{"0f01f9", reasonTime},
		{"0f33", reasonTime},
		{"0fa2", reasonProcessor},
		{"480fa2", reasonProcessor},
		{"f30fc7f8", reasonProcessor},
		{"0fc7f8", reasonRandom},
		{"480fc7f0", reasonRandom},
		{"660fc7f1", reasonRandom},
		{"0fc70b", ""},
		{"480fc70b", ""}, // CMPXCHG8B, 16B
		{"0f0103", reasonUMIP},
		{"0f010b", reasonUMIP},
		{"0f01e0", reasonUMIP},
		{"0f00c0", reasonUMIP},
		{"0f00c8", reasonUMIP},
		{"0f00e0", ""}, // VERR, LAR, LSL: by the selector
		{"0f02c0", ""},
		{"0f03c0", ""},
		{"0f00d0", ""},
		{"0f0113", ""},
		{"0f01c1", reasonHyper},
		{"0f01d9", reasonHyper},
		{"0f01d0", reasonProcessor},
		{"c7f800000000", reasonTSX},
		{"c6f800", reasonTSX},
		{"c7c000000000", ""},
		{"c60300", ""},
		{"0faef0", ""},
		{"f30faef0", reasonWait},
		{"660faef0", reasonWait},
		{"0faee8", ""},
		{"0fae23", reasonXState},
		{"0fae03", ""},
		{"660fae33", ""},
		{"0f34", reasonEntry},
		{"0f05", ""},
		{"0f0b", ""},
		{"90", ""},
		{"c5f877", ""},
	} {
		assert.Equal(t, c.reason, quarantined(shapeOf(t, c.code)), c.code)
	}
}

func TestKnownSelector(t *testing.T) {
	for v, known := range map[uint16]bool{
		0: true, 3: true, 0x23: true, 0x20: true, 0x2b: true, 0x33: true, 7: true, 0xfffc: true,
		8: false, 0x10: false, 0x43: false, 0x53: false, 0x63: false, 0x7b: false, 0x3b: false,
	} {
		assert.Equal(t, known, knownSelector(v), "%#x", v)
	}
	for _, code := range []string{"0f00e0", "0f00e8", "0f02c0", "0f03c0"} {
		assert.True(t, shapeOf(t, code).looksUp(), code)
	}
	for _, code := range []string{"0f00d0", "0f00f0", "0f00c0", "0f04", "02c0"} {
		assert.False(t, shapeOf(t, code).looksUp(), code)
	}
}

// TestQuarantineReachable: no row hides behind an earlier one or behind bytes
// that the table of shapes does not take apart.
func TestQuarantineReachable(t *testing.T) {
	hit := map[quarantineRow]bool{}
	for _, prefix := range []string{"", "66", "f2", "f3"} {
		for _, esc := range []string{"", "0f", "0f38"} {
			for op := range 256 {
				for modrm := range 256 {
					s := shapeOf(t, prefix+esc+hex.EncodeToString([]byte{byte(op), byte(modrm), 0, 0, 0, 0, 0, 0, 0, 0}))
					for _, q := range quarantine {
						if quarantined(s) == q.reason && q.opmap == s.opmap && q.opcode == s.opcode && (s.modrm^q.modrm)&q.mask == 0 {
							hit[q] = true
						}
					}
				}
			}
		}
	}
	for _, q := range quarantine {
		assert.True(t, hit[q], "%+v", q)
	}
}

func TestQuarantinedCase(t *testing.T) {
	g, err := newGeometry(oracle.DefaultLayout)
	require.NoError(t, err)
	for _, k := range []struct {
		code     string
		rsp, rbx uint64
		flags    byte // third byte of the stack's quadword 2
		reason   string
	}{
		{"48cf", oracle.StackBase + 0x1000, 0, 4, ""},
		{"48cf", oracle.StackBase + 0x1002, 0, 4, reasonIRETAlign},
		{"48cf", oracle.StackBase + 0x1002, 0, 3, ""},
		{"90", oracle.StackBase + 0x1002, 0, 4, ""},
		{"f0480103", 0, oracle.DataBase + 56, 0, ""},
		{"f0480103", 0, oracle.DataBase + 57, 0, reasonSplitLock},
		{"f00003", 0, oracle.DataBase + 63, 0, ""},
		{"668703", 0, oracle.DataBase + 63, 0, reasonSplitLock},
		{"488703", 0, oracle.DataBase + 63, 0, reasonSplitLock},
		{"f0480fc70b", 0, oracle.DataBase + 50, 0, reasonSplitLock},
		{"480103", 0, oracle.DataBase + 60, 0, ""},
	} {
		c := &oracle.Case{Layout: oracle.DefaultLayout, Memory: make([]byte, oracle.DefaultLayout.WindowBytes())}
		c.State.GPR[x86.RSP], c.State.GPR[x86.RBX] = k.rsp, k.rbx
		if k.rsp != 0 {
			c.Memory[512+int(k.rsp-(oracle.StackBase+0x1000-128))+18] = k.flags
		}
		assert.Equal(t, k.reason, quarantinedCase(shapeOf(t, k.code), &memory{g: g, c: c}, 0, true), "%+v", k)
	}
}
