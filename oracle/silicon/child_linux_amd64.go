package silicon

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-4e121ece/ringfence/internal/shm"
	"github.com/seed-4e121ece/ringfence/internal/spawn"
	"github.com/seed-4e121ece/ringfence/oracle"
)

const (
	maxSlots  = 128     // cases in flight; a power of two
	ringLimit = 4 << 20 // bytes, for layouts with large windows
	startTime = 10 * time.Second
	// stuckTime is how long a child may go without an answer before it is
	// killed. Its own timer counts CPU time and is much faster. A child that
	// only waits for a CPU, on a machine that is busy elsewhere, may do so for
	// starvedTime.
	stuckTime   = 5 * time.Second
	starvedTime = 5 * time.Minute
	sliceTime   = 50 * time.Millisecond
)

// child is one runner process with its memory. It dies and is replaced; a child
// is used by one goroutine at a time.
type child struct {
	g        *geometry
	base     uint64
	canary   uint64
	slots    int
	slotSize int
	pads     pads
	ldt      [maxLDT]userDesc // what the kernel has, as far as the cases that were submitted go
	ring     *shm.Memory
	pages    *shm.Memory
	proc     *spawn.Process
	dead     *atomic.Bool
	req      *atomic.Uint32
	done     *atomic.Uint32
	ack      *atomic.Uint32
	sent     uint32 // cases submitted, as in header.req
	cpu      int    // on which it is pinned, or -1
	refused  bool   // the kernel has refused it a descriptor, and it was killed
}

// newChild starts a child for a layout.
func newChild(g *geometry) (_ *child, err error) {
	c := &child{g: g, cpu: -1, slots: maxSlots, dead: new(atomic.Bool)}
	c.slotSize = windowsIn + 2*g.winSize
	for c.slots > 1 && c.slots*c.slotSize > ringLimit {
		c.slots /= 2
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.ring, err = shm.New("silicon-ring", ringHeader+c.slots*c.slotSize); err != nil {
		return nil, fmt.Errorf("silicon: %w", err)
	}
	if c.pages, err = shm.New("silicon-pages", g.bytes+oracle.PageSize); err != nil {
		return nil, fmt.Errorf("silicon: %w", err)
	}
	h := c.header()
	c.req = (*atomic.Uint32)(unsafe.Pointer(&h.req))
	c.done = (*atomic.Uint32)(unsafe.Pointer(&h.done))
	c.ack = (*atomic.Uint32)(unsafe.Pointer(&h.ack))
	c.done.Store(notReady)
	c.fill()
	if err = c.place(); err != nil {
		return nil, err
	}
	img, err := buildImage(g, c.base, c.pads, c.canary, c.slots, c.slotSize)
	if err != nil {
		return nil, err
	}
	return c, c.start(img)
}

// fill writes the fill into the pages and the margins of the windows, where it
// stays: the child puts it back after each case.
func (c *child) fill() {
	data := c.pages.Bytes()
	for _, r := range c.g.runs {
		part := data[r.file : r.file+(r.end-r.addr)]
		for i := range part {
			part[i] = r.fill
		}
	}
	for s := range c.slots {
		in := c.windows(s, windowsIn)
		for _, m := range c.g.margins {
			for i := range m.length {
				in[m.offset+i] = m.fill
			}
		}
	}
}

// place chooses where the child's own memory lies: a random multiple of 4 GiB
// with nothing of the layout within 4 GiB; and a random canary.
func (c *child) place() error {
	var seed [24]byte
	for range 1000 {
		if _, err := rand.Read(seed[:]); err != nil {
			return fmt.Errorf("silicon: random base: %w", err)
		}
		const low, high = 0x100, 0x7e00 // in units of 4 GiB, clear of the kernel's own mappings
		n := binary.LittleEndian.Uint64(seed[:8])
		c.base = (low + n%(high-low)) << 32
		c.canary = binary.LittleEndian.Uint64(seed[8:])
		c.pads = c.g.placePads(binary.LittleEndian.Uint64(seed[16:]))
		free := true
		for _, r := range c.g.runs {
			if !c.clear(r.addr) || !c.clear(r.end-1) || c.pads.low-r.near < r.nearLen || c.pads.near-r.near < r.nearLen {
				free = false
			}
		}
		if free {
			c.makePad()
			return nil
		}
	}
	return errors.New("silicon: no room for the runner beside the pages of the layout")
}

// clear says that an address is more than 4 GiB away from the child's own
// memory.
func (c *child) clear(addr uint64) bool {
	return addr-(c.base-spanSize) >= 3*spanSize
}

// placePads chooses where the trampolines may lie: one below 4 GiB, clear of the
// lowest pages, which the kernel may refuse, and one within 1 GiB of the code,
// or, where there is code in several places, 2 GiB of each if that can be; the
// same one if it can be.
func (g *geometry) placePads(random uint64) pads {
	const low, high = 0x100000, 1<<32 - 0x100000
	pick := func(from, to uint64) uint64 { return (from + random%(to-from)) &^ (oracle.PageSize - 1) }
	first, last := g.codeSpan()
	if first >= userEnd {
		near := pick(low, high) // no page is mapped there
		return pads{near, near}
	}
	reach := uint64(1 << 30)
	if last-first > reach/2 {
		reach = 1<<31 - 1<<20
	}
	near := pick(max(last, low+reach)-reach, min(first+reach, userEnd-low))
	if near < high {
		return pads{near, near}
	}
	return pads{pick(low, high), near}
}

// codeSpan returns the lowest and the highest run of code that a branch from one
// place reaches both, or that of the layout's code alone.
func (g *geometry) codeSpan() (first, last uint64) {
	code := g.layout.Pages[g.layout.Code].Address
	first, last = code, code
	for i := range g.layout.Pages {
		if p := &g.layout.Pages[i]; p.Prot&oracle.ProtExec != 0 && p.Address < userEnd {
			first, last = min(first, p.Address), max(last, p.Address)
		}
	}
	if last-first > 1<<32-1<<24 {
		return code, code
	}
	return first, last
}

func (c *child) makePad() {
	page := c.pages.Bytes()[c.g.bytes:]
	for i := range page {
		page[i] = 0xcc
	}
	copy(page, trampoline(c.base+offPrivate+uint64(unsafe.Offsetof(private{}.rax)), c.base+offLand))
}

func (c *child) start(img *image) error {
	exe, err := spawn.NewImage("silicon", img.elf)
	if err != nil {
		return fmt.Errorf("silicon: %w", err)
	}
	defer exe.Close()
	files := make([]*os.File, 5)
	for i, m := range map[int]*shm.Memory{fdRing: c.ring, fdPages: c.pages} {
		// os.File takes the descriptor over, so it gets one of its own.
		fd, err := syscall.Dup(m.FD())
		if err != nil {
			return fmt.Errorf("silicon: dup: %w", err)
		}
		syscall.CloseOnExec(fd)
		files[i] = os.NewFile(uintptr(fd), "memfd")
		defer files[i].Close()
	}
	// The watcher may outlast this child's memory by a moment: it only touches
	// the flag, and names an address to the kernel.
	dead, done := c.dead, c.done
	if c.proc, err = exe.Start("ringfence-silicon", files, func() {
		dead.Store(true)
		_ = shm.Wake(done, 1) // or the parent finds out a little later
	}); err != nil {
		return fmt.Errorf("silicon: %w", err)
	}
	deadline := time.Now().Add(startTime)
	for c.done.Load() != 0 {
		if c.dead.Load() {
			return c.startFailure(img)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("silicon: the runner was not ready within %v", startTime)
		}
		if err := shm.Wait(c.done, notReady, time.Millisecond); err != nil {
			return fmt.Errorf("silicon: %w", err)
		}
	}
	return nil
}

// pin moves the child to a CPU. It is no error if it is gone; that shows later.
func (c *child) pin(cpu int) error {
	if cpu == c.cpu {
		return nil
	}
	if err := spawn.Pin(c.proc.Pid(), cpu); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("silicon: %w", err)
	}
	c.cpu = cpu
	return nil
}

// startFailure says which of the setup calls was refused.
func (c *child) startFailure(img *image) error {
	h := c.header()
	if step := h.failStep; step > 0 && step <= uint64(len(img.steps)) {
		return fmt.Errorf("silicon: the runner's %s was refused: %w", img.steps[step-1], syscall.Errno(-h.failErrno))
	}
	return fmt.Errorf("silicon: the runner ended before it was ready: %s", c.ending())
}

func (c *child) header() *header { return (*header)(c.ring.At(0)) }

// slot returns the place of the n-th case submitted, counted as header.req.
func (c *child) slot(n uint32) *slot {
	return (*slot)(c.ring.At(uintptr(ringHeader + int(n&uint32(c.slots-1))*c.slotSize)))
}

// windows returns the windows of a slot: those that go in (windowsIn) or come
// out (windowsIn + winSize).
func (c *child) windows(n, from int) []byte {
	at := ringHeader + (n&(c.slots-1))*c.slotSize + from
	return c.ring.Bytes()[at : at+c.g.winSize]
}

// submit hands n more cases to the child, which have been written into their
// slots, and waits until it has answered them or cannot. It returns how many
// have been answered, and whether the child was found stuck.
func (c *child) submit(n int) (answered int, stuck bool, err error) {
	first := c.sent
	c.sent += uint32(n)
	c.req.Store(c.sent)
	if err := shm.Wake(c.req, 1); err != nil {
		return 0, false, err
	}
	progress, since, last, ran := first, time.Time{}, time.Time{}, time.Duration(0)
	for {
		done := c.done.Load()
		if done == c.sent {
			return n, false, nil
		}
		if c.dead.Load() {
			return c.acked(first, n), false, nil
		}
		if err := shm.Wait(c.done, done, sliceTime); err != nil {
			return 0, false, err
		}
		if c.done.Load() != done {
			continue
		}
		switch ack := c.ack.Load(); {
		case ack-first > uint32(n): // a test has written over the runner's count
			c.proc.Kill()
			return 0, false, nil
		case ack != progress || since.IsZero():
			progress, since, ran = ack, time.Now(), c.cpuTime()
			last = since
		case time.Since(last) > stuckTime:
			if last = time.Now(); last.Sub(since) < starvedTime && c.waitsForCPU(ran) {
				continue
			}
			c.proc.Kill()
			return c.acked(first, n), true, nil
		}
	}
}

// waitsForCPU says that the child is ready to run, but has hardly done so since
// it had had that much CPU time.
func (c *child) waitsForCPU(had time.Duration) bool {
	const enough = time.Second // a hundred times what its own timer allows a case
	if c.cpuTime()-had > enough {
		return false
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.proc.Pid()))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ") // behind the name (proc_pid_stat(5))
	return strings.HasPrefix(rest, "R") || strings.HasPrefix(rest, "D")
}

// cpuTime is what the child has had, 0 if it is gone.
func (c *child) cpuTime() time.Duration {
	const schedClock = 2 // CPUCLOCK_SCHED of a process (clock_getcpuclockid(3))
	var t unix.Timespec
	if unix.ClockGettime(int32(^c.proc.Pid()<<3|schedClock), &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// acked returns how many of the last n cases the child says it has answered;
// what it says is not believed beyond n.
func (c *child) acked(first uint32, n int) int {
	got := int(int32(c.ack.Load() - first))
	return max(0, min(got, n))
}

// ending says how the process ended, of a child that is no longer of use.
func (c *child) ending() string {
	if !c.dead.Load() {
		return "it broke its protocol"
	}
	h := c.header()
	return fmt.Sprintf("%v, signal %d at %#x of its text", c.proc.State(), h.failSigno, h.failRIP)
}

// close ends the process and gives the memory back.
func (c *child) close() {
	if c.proc != nil {
		c.proc.Kill()
		c.proc = nil
	}
	c.ring.Close()
	c.pages.Close()
}
