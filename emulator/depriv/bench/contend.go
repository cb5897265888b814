package bench

import (
	"sync"
	"time"

	"github.com/seed-4e121ece/ringfence/emulator/depriv"
)

// vcpuCounts are how many virtual CPUs contend.
var vcpuCounts = []int{1, 2, 4, 8}

type contentionKey struct {
	rung   string
	vcpus  int
	shared bool
}

type contention struct {
	throughput, perCore []float64
	h                   histogram
}

// contend has virtual CPUs step at once, each as fast as it can.
func (r *runner) contend(g *rung) error {
	for _, n := range vcpuCounts {
		for _, shared := range []bool{false, true} {
			if shared && (g.direct || n == 1) {
				continue
			}
			if r.ctx.Err() != nil || g.Missing != "" {
				return nil
			}
			if err := r.contendWith(g, n, shared); err != nil {
				g.failed(err)
				return nil
			}
		}
	}
	return nil
}

// vcpu is one of the virtual CPUs that contend.
type vcpu struct {
	t       *target
	guest   *guest
	request []depriv.Request
	h       histogram
	err     error
}

// contendWith measures n virtual CPUs, which share one worker and wait for it in
// turn, or have one each.
func (r *runner) contendWith(g *rung, n int, shared bool) error {
	all := make([]*vcpu, n)
	c := classes[1] // load
	var one *target
	workers := map[int]bool{}
	for i := range all {
		if err := g.guests.list[i].load(&c); err != nil {
			return err
		}
		t := one
		if t == nil {
			var err error
			if t, err = g.open(i, 1); err != nil {
				return err
			}
			defer t.close()
			workers[t.pid()] = true
		}
		if shared {
			one = t
		}
		all[i] = &vcpu{t: t, guest: g.guests.list[i], request: []depriv.Request{g.guests.request(i)}}
	}
	turn := make(chan struct{}, 1) // who waits for the worker gets it in the order of coming
	used := r.processorTimes(workers)
	begin := time.Now()
	until := clock() + int64(3*r.slice)
	var ready, done sync.WaitGroup
	ready.Add(n)
	for i, v := range all {
		done.Go(func() {
			if !shared {
				v.err = v.t.settle(r.cpus[(r.round+i)%len(r.cpus)])
			}
			ready.Done()
			ready.Wait()
			if v.err == nil {
				v.err = v.run(shared, turn, until, r.timer)
			}
			if !shared {
				v.t.release()
				v.t.release = func() {}
			}
		})
	}
	done.Wait()
	seconds := time.Since(begin).Seconds()
	k := of(r.contention, contentionKey{g.Name, n, shared})
	steps := 0.0
	for _, v := range all {
		if v.err != nil {
			return v.err
		}
		steps += float64(v.h.n)
		k.h.merge(&v.h)
	}
	k.throughput = append(k.throughput, steps/seconds)
	if used > 0 {
		k.perCore = append(k.perCore, steps/(float64(r.processorTimes(workers)-used)/1e9))
	}
	return nil
}

// run steps one virtual CPU until the time has come.
func (v *vcpu) run(shared bool, turn chan struct{}, until, timer int64) error {
	for clock() < until {
		a := clock()
		v.guest.next()
		if shared {
			turn <- struct{}{}
		}
		err := v.step()
		if shared {
			<-turn
		}
		if err != nil {
			return err
		}
		v.h.add(clock() - a - timer)
	}
	return nil
}

func (v *vcpu) step() error {
	if v.t.client == nil {
		g := v.guest
		v.t.emulator.Step(&g.state, g.m, &g.fx)
		return nil
	}
	v.t.client.StepBatch(v.request)
	return v.request[0].Err
}

// processorTimes is the processor time of this process and of workers; 0 if it
// cannot be told.
func (r *runner) processorTimes(pids map[int]bool) int64 {
	sum := processorTime(0)
	for pid := range pids {
		if pid == 0 || sum == 0 {
			continue
		}
		theirs := workerTime(pid)
		if theirs == 0 {
			return 0
		}
		sum += theirs
	}
	return sum
}
