package clock

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// movable is the machine's clock, moved by what a test writes into a file that both have mapped into memory. It takes the place of system
// in binaries that are built for tests of time, and in no other.
type movable struct {
	system
	page *page

	mu      sync.Mutex
	planned map[*movableTimer]struct{}
}

// page is what the file holds: nanoseconds.
type page struct {
	passed atomic.Int64 // by how much both clocks are ahead of the machine's
	jumped atomic.Int64 // by how much the time of day is besides
}

// lookEvery is how often a movable clock looks whether time has passed for its timers.
const lookEvery = 5 * time.Millisecond

// theMovable is the process's one, or system where nobody means to move it.
var theMovable = sync.OnceValue(func() Clock {
	name := os.Getenv("POSTHASTE_TEST_CLOCK")
	if name == "" {
		return system{start: time.Now()}
	}
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		panic("bug: " + err.Error())
	}
	data, err := syscall.Mmap(int(file.Fd()), 0, int(unsafe.Sizeof(page{})), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		panic("bug: " + err.Error())
	}
	m := &movable{system: system{start: time.Now()}, page: (*page)(unsafe.Pointer(unsafe.SliceData(data))), planned: map[*movableTimer]struct{}{}}
	go m.watch()
	return m
})

func (m *movable) Wall() int64 { _, wall := m.Both(); return wall }

func (m *movable) Mono() int64 { mono, _ := m.Both(); return mono }

func (m *movable) Both() (mono, wall int64) {
	mono, wall = m.system.Both()
	passed := m.page.passed.Load() // once, so that no reading sees a jump where time has passed
	return mono + passed, wall + passed + m.page.jumped.Load()
}

// watch brings timers forward when time has passed.
func (m *movable) watch() {
	seen := m.page.passed.Load()
	for range time.Tick(lookEvery) {
		if now := m.page.passed.Load(); now != seen {
			seen = now
			m.mu.Lock()
			for t := range m.planned {
				t.timer.Reset(time.Duration(max(0, t.due-m.Mono())))
			}
			m.mu.Unlock()
		}
	}
}

func (m *movable) AfterFunc(d time.Duration, f func()) Timer {
	t := &movableTimer{clock: m, call: f}
	t.Reset(d)
	return t
}

// movableTimer has a timer of the machine's, which may fire at a time that no longer counts.
type movableTimer struct {
	clock *movable
	call  func()
	timer *time.Timer
	due   int64 // by the movable clock
}

func (t *movableTimer) fire() {
	m := t.clock
	m.mu.Lock()
	_, planned := m.planned[t]
	left := t.due - m.Mono()
	switch {
	case planned && left > 0:
		t.timer.Reset(time.Duration(left))
		planned = false
	case planned:
		delete(m.planned, t)
	}
	m.mu.Unlock()
	if planned {
		t.call()
	}
}

func (t *movableTimer) Reset(d time.Duration) bool {
	m := t.clock
	m.mu.Lock()
	defer m.mu.Unlock()
	_, was := m.planned[t]
	m.planned[t] = struct{}{}
	t.due = m.Mono() + int64(max(0, d))
	if t.timer == nil {
		t.timer = time.AfterFunc(max(0, d), t.fire)
	} else {
		t.timer.Reset(max(0, d))
	}
	return was
}

func (t *movableTimer) Stop() bool {
	m := t.clock
	m.mu.Lock()
	defer m.mu.Unlock()
	_, was := m.planned[t]
	delete(m.planned, t)
	t.timer.Stop()
	return was
}
