package load

import (
	"fmt"
	"math/bits"
	"sync"
	"time"
)

// tracker says which numbered messages one subscription has received, over all of its streams. Safe for concurrent use.
type tracker struct {
	mu         sync.Mutex
	seen       []uint64 // one bit a message number
	unique     uint64
	duplicates uint64
	lastNew    time.Time
	target     uint64
	reached    chan struct{} // nil when nobody waits
}

// numberMax bounds the bitmap: a number beyond it is not one that the generator gave out.
const numberMax = 1 << 34

// markAll notes the numbers of one response, received at now. It fails on a number that was never given out.
func (t *tracker) markAll(numbers []uint64, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.unique
	for _, number := range numbers {
		if number >= numberMax {
			return fmt.Errorf("message number %d was delivered and never published", number)
		}
		word := number / 64
		for word >= uint64(len(t.seen)) {
			t.seen = append(t.seen, make([]uint64, max(1024, len(t.seen)))...)
		}
		bit := uint64(1) << (number % 64)
		if t.seen[word]&bit != 0 {
			t.duplicates++
			continue
		}
		t.seen[word] |= bit
		t.unique++
	}
	if t.unique != before {
		t.lastNew = now
	}
	if t.reached != nil && t.unique >= t.target {
		close(t.reached)
		t.reached = nil
	}
	return nil
}

// expect returns a channel that is closed once so many different messages have come. One may wait at a time.
func (t *tracker) expect(messages uint64) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	reached := make(chan struct{})
	if t.unique >= messages {
		close(reached)
		return reached
	}
	t.target, t.reached = messages, reached
	return reached
}

// progress returns how many different messages came, how many came again, and when the last new one came.
func (t *tracker) progress() (unique, duplicates uint64, lastNew time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unique, t.duplicates, t.lastNew
}

// has says whether the message came.
func (t *tracker) has(number uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	word := number / 64
	return word < uint64(len(t.seen)) && t.seen[word]&(1<<(number%64)) != 0
}

// complete says whether exactly the numbers 0 to published-1 came. A number at or beyond published was never accepted.
func (t *tracker) complete(published uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.unique != published {
		return false
	}
	counted := uint64(0)
	for i, word := range t.seen {
		first := uint64(i) * 64
		switch {
		case first+64 <= published:
			counted += uint64(bits.OnesCount64(word))
		case first < published:
			counted += uint64(bits.OnesCount64(word & (1<<(published-first) - 1)))
		}
	}
	return counted == published
}
