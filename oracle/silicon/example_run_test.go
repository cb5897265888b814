package silicon_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

// TestExamples runs the examples and holds what they print against what their
// comments say. They have no "Output:", since not every machine can be asked.
func TestExamples(t *testing.T) {
	cpu, err := silicon.New()
	if err != nil {
		if strings.Contains(os.Getenv("RINGFENCE_REQUIRE"), "silicon") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	require.NoError(t, cpu.Close())
	for _, k := range []struct {
		name string
		run  func()
		want string
	}{
		{"package", Example, "okay: rax = 9, rip + 4\n"},
		{"One", ExampleExecutor_One, "exception #PF(0x7) at 0x10000000\n"},
		{"NewCaseIn", ExampleNewCaseIn, "exception #GP(0x0)\n"},
		{"Decode", ExampleDecoder_Decode, "true 5\nfalse undefined\n"},
	} {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		stdout := os.Stdout
		os.Stdout = w
		k.run()
		os.Stdout = stdout
		require.NoError(t, w.Close())
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		assert.Equal(t, k.want, string(text), k.name)
	}
}
