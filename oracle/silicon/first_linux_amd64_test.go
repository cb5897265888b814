package silicon

import (
	"testing"

	"github.com/seed-4e121ece/ringfence/oracle"
)

func TestFirst(t *testing.T) {
	e, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	c := NewCase([]byte{0x48, 0x01, 0xd8})
	c.State.GPR[0] = 1
	c.State.GPR[3] = 2
	r := make([]oracle.Result, 1)
	if err := e.Run([]oracle.Case{c}, r); err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r[0])
	i, err := e.Info()
	t.Log(i, err)
}
