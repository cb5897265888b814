// The probe of the stand-in: it compares alu with arithmetic in its own words.
package main

import (
	"encoding/json"
	"flag"
	"math/bits"
	"math/rand/v2"
	"os"
	"time"

	"github.com/seed-4e121ece/ringfence/fuzz/mutants/testdata/tiny/alu"
	"github.com/seed-4e121ece/ringfence/fuzz/mutants/testdata/tiny/base"
)

func main() {
	limit := flag.Duration("limit", time.Second, "time")
	seed := flag.Uint64("seed", 1, "seed")
	flag.Parse()
	rnd := rand.New(rand.NewPCG(*seed, 0))
	start := time.Now()
	var answer struct {
		Found   bool    `json:"found"`
		Cases   uint64  `json:"cases"`
		Seconds float64 `json:"seconds"`
		What    string  `json:"what"`
	}
	for time.Since(start) < *limit && !answer.Found && answer.Cases < 200000 {
		answer.Cases++
		answer.What = wrong(rnd)
		answer.Found = answer.What != ""
	}
	answer.Seconds = time.Since(start).Seconds()
	json.NewEncoder(os.Stdout).Encode(answer)
}

func wrong(rnd *rand.Rand) string {
	w, m := base.W8, uint32(0xff)
	if rnd.IntN(2) == 0 {
		w, m = base.W16, 0xffff
	}
	a, b := rnd.Uint32()&m, rnd.Uint32()&m
	if rnd.IntN(4) == 0 {
		a = m
	}
	if rnd.IntN(4) == 0 {
		b = rnd.Uint32N(3)
	}
	if r, c := alu.Do("add", w, a, b); r != (a+b)&m || c != ((a+b)&^m != 0) {
		return "add"
	}
	if r, c := alu.Do("shl", w, a, b); r != a<<(b%32)&m || c {
		return "shl"
	}
	if alu.Ones(a) != bits.OnesCount32(a) {
		return "ones"
	}
	if alu.Last([]byte{1, 0xfe}) != -2 {
		return "last"
	}
	buf := make([]byte, rnd.IntN(3))
	alu.Fill(buf, 7)
	for _, c := range buf {
		if c != 7 {
			return "fill"
		}
	}
	return ""
}
