package decode_test

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/emulator/decode"
	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
)

// Outside 64-bit mode bit 3 of vvvv is no part of a register's number, but
// where vvvv names none it must be set like the others; EVEX.V' must be set
// always. Seen on Intel's CPUs.
func TestVVVVOutside64(t *testing.T) {
	p := isa.Profile{Vendor: isa.Intel, Features: isa.AllFeatures(), VirtualBits: 48}
	for _, tc := range []struct {
		name, code string
		want       decode.Reason
		long       decode.Reason
	}{
		{"VMOVDQA, vvvv 1111", "c4e1f96f03", decode.Valid, decode.Valid},
		{"VMOVDQA, vvvv 0111", "c4e1b96f03", decode.Undefined, decode.Undefined},
		{"VRSQRTPS, vvvv 0111", "c4e1385203", decode.Undefined, decode.Undefined},
		{"RORX, vvvv 0111", "c4e33bf00300", decode.Undefined, decode.Undefined},
		{"VSUBPD, vvvv 0000", "c4e1015c03", decode.Valid, decode.Valid},
		{"VCVTQQ2PD, V' 0", "62f1fe00e603", decode.Undefined, decode.Undefined},
		{"VMINPS, V' 0", "62f17c005d03", decode.Undefined, decode.Valid},
		{"VPAVGW, V' 0", "62f17d00e303", decode.Undefined, decode.Valid},
	} {
		code, err := hex.DecodeString(tc.code)
		require.NoError(t, err)
		var in decode.Inst
		for _, mode := range []x86.Mode{x86.Compat32, x86.Compat16} {
			require.Equal(t, tc.want, decode.Decode(&in, code, mode, &p), "%s %v", tc.name, mode)
		}
		require.Equal(t, tc.long, decode.Decode(&in, code, x86.Long64, &p), tc.name)
	}
}
