// Package budget shares out the memory for the requests of all clients, over every front: a request takes what it needs before it is read,
// and waits where there is not enough.
package budget

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// Shares of a budget.
const (
	// OrdinaryBytesMax is what an ordinary request takes at the most, with its copy.
	OrdinaryBytesMax = 2 * limit.OrdinaryRequestBytesMax
	// largePart of largeParts is what requests above that may take together; the rest is for ordinary ones, which large ones never delay.
	largePart, largeParts = 3, 4
)

// ErrExhausted is a RESOURCE_EXHAUSTED for a request that waited in vain, or found too many waiting.
var ErrExhausted = status.Error(codes.ResourceExhausted, "The server holds as many requests as it has memory for (setting request-memory). Try again later.")

// Options bound what a budget gives.
type Options struct {
	Bytes   int           // of all requests together
	Wait    time.Duration // how long a request may wait for its part
	Waiting int           // how many may wait at a time
}

// Memory is a number of bytes that requests take parts of. These hold at any time:
//
//  1. No more is taken than there is, and of large requests no more than their share, except that a single one which is larger than
//     that counts as its share: every request gets through.
//  2. Requests of a kind, ordinary or large, are served in the order in which they came. An ordinary one does not wait for a large one.
//  3. Whatever waits does so for Options.Wait at the most.
//
// It is safe for concurrent use.
type Memory struct {
	options Options
	kinds   [2]kind // ordinary, large
	used    atomic.Int64
	mu      sync.Mutex // guards the queues
}

// kind is the state of ordinary or of large requests.
type kind struct {
	most    int64 // that may be taken in all, for one more of this kind to be taken
	waiting atomic.Int32
	queue   []*waiter
}

type waiter struct {
	bytes int64
	given chan struct{} // closed when the bytes are the waiter's
}

// Of is a budget of so many bytes; Automatic's for 0. What waits may have sent a window's worth already, and takes at most half as much again.
func Of(bytes int) *Memory {
	if bytes == 0 {
		bytes = Automatic()
	}
	return New(Options{Bytes: bytes, Wait: limit.RequestMemoryWaitMax, Waiting: bytes / (2 * limit.GRPCWindowBytes)})
}

// New is a budget of which nothing is taken.
func New(options Options) *Memory {
	m := &Memory{options: options}
	m.kinds[0].most = int64(options.Bytes)
	m.kinds[1].most = int64(options.Bytes) / largeParts * largePart
	return m
}

// Part is what somebody has taken. The zero value is nothing.
type Part struct{ bytes int64 }

// Take waits for bytes and adds them to the part. Its error is ErrExhausted or the context's; then nothing was taken.
func (m *Memory) Take(ctx context.Context, part *Part, bytes int) error {
	k := &m.kinds[0]
	if bytes > OrdinaryBytesMax {
		k = &m.kinds[1]
	}
	need := min(int64(bytes), k.most)
	if k.waiting.Load() == 0 && m.fits(k, need) {
		part.bytes += need
		return nil
	}
	w := m.enqueue(k, need)
	if w == nil {
		return ErrExhausted
	}
	patience := time.NewTimer(m.options.Wait)
	defer patience.Stop()
	var err error
	select {
	case <-w.given:
	case <-patience.C:
		err = ErrExhausted
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil && m.leave(k, w) {
		return err
	}
	part.bytes += need // also when it was given at the last moment
	return nil
}

// GiveBack gives a part back, and empties it.
func (m *Memory) GiveBack(part *Part) {
	if part.bytes == 0 {
		return
	}
	m.used.Add(-part.bytes)
	part.bytes = 0
	// A waiter counts itself before it looks once more whether it fits: either it sees what was given back, or it is seen here.
	if m.kinds[0].waiting.Load()+m.kinds[1].waiting.Load() > 0 {
		m.mu.Lock()
		m.serve()
		m.mu.Unlock()
	}
}

// Taken is how many bytes are taken.
func (m *Memory) Taken() int { return int(m.used.Load()) }

// fits takes bytes if they fit. It never takes too many for a moment: others would find less than there is, and wait for nobody.
func (m *Memory) fits(k *kind, bytes int64) bool {
	for {
		used := m.used.Load()
		if used+bytes > k.most {
			return false
		}
		if m.used.CompareAndSwap(used, used+bytes) {
			return true
		}
	}
}

// enqueue makes a request wait; nil when too many do.
func (m *Memory) enqueue(k *kind, bytes int64) *waiter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.kinds[0].queue)+len(m.kinds[1].queue) >= m.options.Waiting {
		return nil
	}
	w := &waiter{bytes, make(chan struct{})}
	k.queue = append(k.queue, w)
	k.waiting.Add(1)
	m.serve()
	return w
}

// leave takes a waiter out of its queue. It is false when the waiter was served.
func (m *Memory) leave(k *kind, w *waiter) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := slices.Index(k.queue, w)
	if at < 0 {
		return false
	}
	k.queue = slices.Delete(k.queue, at, at+1)
	k.waiting.Add(-1)
	m.serve() // those behind it may need less
	return true
}

// serve gives to those who wait, as long as it lasts. The lock is held.
func (m *Memory) serve() {
	for i := range m.kinds {
		k := &m.kinds[i]
		for len(k.queue) > 0 && m.fits(k, k.queue[0].bytes) {
			close(k.queue[0].given)
			k.queue = slices.Delete(k.queue, 0, 1)
			k.waiting.Add(-1)
		}
	}
}
