package google

import (
	"sync"

	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// repeats are the ack ids that were done and whose client was asked to send them again: the latest ones, which bounds the memory. One that is
// forgotten, as all are with the process, is answered as any other whose message is acknowledged. The zero value is empty.
type repeats struct {
	mu    sync.Mutex
	known map[wire.AckID]struct{}
	ring  []wire.AckID // what known has, the oldest at next once it is full
	next  int
}

func (r *repeats) add(id wire.AckID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.known[id]; ok {
		return
	}
	if r.known == nil {
		r.known = make(map[wire.AckID]struct{})
	}
	if len(r.ring) < limit.AckRepeatsMax {
		r.ring = append(r.ring, id)
	} else {
		delete(r.known, r.ring[r.next])
		r.ring[r.next] = id
		r.next = (r.next + 1) % limit.AckRepeatsMax
	}
	r.known[id] = struct{}{}
}

func (r *repeats) has(id wire.AckID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.known[id]
	return ok
}
