package google

import (
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/limit"
)

// arrivals are the requests that are on their way. One that takes too long is ended with DEADLINE_EXCEEDED: a client that sends a byte now
// and then would hold memory for ever, and keep-alive finds nothing wrong with it. It is safe for concurrent use.
//
// No request has a timer of its own: most come at once, and a timer costs more than they do. A stripe looks at its requests once each
// limit.GRPCRequestCheckEvery while it has any.
//
// Looks are counted, not time: a process that was stopped for a while could not read what came meanwhile, and must not blame its clients.
type arrivals struct {
	clock   clock.Clock
	most    int64 // looks after which a request is late
	every   time.Duration
	stripes [arrivalStripes]stripe
	next    atomic.Uint32 // gives arrivals their stripes
}

const arrivalStripes = 16

// stripe is some of the requests, in the order in which they were announced.
type stripe struct {
	mu          sync.Mutex
	first, last *arrival
	looks       int64 // how often the stripe was looked at
	timer       clock.Timer
	armed       bool     // the timer runs, which it does while there are requests, and up to once in vain
	_           [64]byte // stripes do not share a line of the processors' caches
}

// arrival is the place of one request in its stripe. It stays in its stripe when it is used again.
type arrival struct {
	stripe         *stripe
	previous, next *arrival
	since          int64 // looks before it was announced
	call           call
	late           bool
}

// call is what can be ended with a status.
type call interface{ WriteStatus(*status.Status) error }

// errLate is what became of a request that did not come.
var errLate = status.Errorf(codes.DeadlineExceeded, "The request did not arrive within %v.", limit.GRPCRequestTimeMax)

func newArrivals(c clock.Clock, most, every time.Duration) *arrivals {
	return &arrivals{clock: c, most: int64(most / every), every: every}
}

// await counts a request's time from now on, or from up to a check's interval ago.
func (a *arrivals) await(r *arrival) {
	s := r.stripe
	if s == nil {
		s = &a.stripes[a.next.Add(1)%arrivalStripes]
		r.stripe = s
	}
	r.late = false
	s.mu.Lock()
	if !s.armed {
		s.armed = true
		if s.timer == nil {
			s.timer = a.clock.AfterFunc(a.every, func() { a.look(s) })
		} else {
			s.timer.Reset(a.every)
		}
	}
	r.since = s.looks
	r.previous, r.next = s.last, nil
	if s.last == nil {
		s.first = r
	} else {
		s.last.next = r
	}
	s.last = r
	s.mu.Unlock()
}

// arrived takes a request out. It is false for one that was late: its call has ended.
func (a *arrivals) arrived(r *arrival) bool {
	s := r.stripe
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.late {
		return false
	}
	s.remove(r)
	return true
}

// remove takes a request out. The lock is held.
func (s *stripe) remove(r *arrival) {
	if r.previous == nil {
		s.first = r.next
	} else {
		r.previous.next = r.next
	}
	if r.next == nil {
		s.last = r.previous
	} else {
		r.next.previous = r.previous
	}
	r.previous, r.next, r.call = nil, nil, nil
}

// look ends the calls of a stripe whose requests are late.
func (a *arrivals) look(s *stripe) {
	var late []call
	s.mu.Lock()
	s.looks++
	for r := s.first; r != nil && s.looks-r.since >= a.most; r = s.first {
		late = append(late, r.call)
		r.late = true
		s.remove(r)
	}
	s.armed = s.first != nil
	if s.armed {
		s.timer.Reset(a.every)
	}
	s.mu.Unlock()
	for _, call := range late {
		_ = call.WriteStatus(status.Convert(errLate)) // the call is over in any case
	}
}
