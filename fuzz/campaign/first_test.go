package campaign

import (
	"context"
	"fmt"
	"testing"

	"github.com/seed-4e121ece/ringfence/internal/hostcpu"
	"github.com/seed-4e121ece/ringfence/oracle"
	"github.com/seed-4e121ece/ringfence/oracle/model"
	"github.com/seed-4e121ece/ringfence/oracle/silicon"
)

func TestFirst(t *testing.T) {
	p := hostcpu.Profile()
	s, err := Run(context.Background(), Config{
		Subject:    Engine{"model", func() (oracle.Executor, error) { return model.New(p), nil }},
		References: []Engine{{"silicon", func() (oracle.Executor, error) { return silicon.New() }}},
		Profile:    p, Cases: 1000000, Seed: 1,
		Progress: func(p Progress) { fmt.Printf("%+v\n", p) },
		Message:  func(m string) { fmt.Println(m) },
	})
	if err != nil {
		t.Error(err)
	}
	fmt.Printf("cases %d compared %d retired %.3f vectors %v endings %v unimpl %d diverged %d invalid %v\n", s.Counts.Cases, s.Counts.Compared, s.RetiredShare(), s.Counts.Vectors, s.Counts.Endings, s.Counts.Unimplemented, s.Counts.Diverged, s.Counts.Invalid)
	for i, d := range s.Divergences {
		if i > 60 {
			break
		}
		fmt.Println(d.Mnemonic, d.Code, d.Fields, d.Count)
	}
	for _, u := range s.Uncovered {
		fmt.Println(u.Encoding, u.Syntax, u.Reason, u.Cases)
	}
}
