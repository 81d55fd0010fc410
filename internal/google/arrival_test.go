package google

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/limit"
)

// endedCall is a call that notes its end.
type endedCall struct{ with *status.Status }

func (c *endedCall) WriteStatus(s *status.Status) error {
	c.with = s
	return nil
}

// expecting is a request on its way.
func expecting(a *arrivals) (*arrival, *endedCall) {
	c := new(endedCall)
	r := &arrival{call: c}
	a.await(r)
	return r, c
}

func standingArrivals() (*arrivals, *clock.Manual) {
	c := clock.NewManual(time.Unix(0, 0))
	return newArrivals(c, limit.GRPCRequestTimeMax, limit.GRPCRequestCheckEvery), c
}

func TestRequestsThatDoNotComeEndWithinThirtySeconds(t *testing.T) {
	const soonest, latest = 26 * time.Second, 30 * time.Second
	a, c := standingArrivals()
	type awaited struct {
		call  *endedCall
		since int64
	}
	var open []awaited
	dice := rand.New(rand.NewPCG(1, 1))
	ended := 0
	for range 2000 {
		if dice.IntN(3) == 0 {
			_, call := expecting(a)
			open = append(open, awaited{call, c.Mono()})
		}
		c.Advance(time.Duration(dice.Int64N(int64(200 * time.Millisecond))))
		open = slices.DeleteFunc(open, func(w awaited) bool {
			age := time.Duration(c.Mono() - w.since)
			if w.call.with == nil {
				if age > latest {
					t.Fatalf("a request is awaited for %v", age)
				}
				return false
			}
			if age < soonest || w.call.with.Code() != codes.DeadlineExceeded {
				t.Fatalf("a call was ended after %v with %v", age, w.call.with)
			}
			ended++
			return true
		})
	}
	if ended < 100 {
		t.Errorf("%d calls were ended", ended)
	}
}

// stopping is a clock that goes on while the process stands still.
type stopping struct {
	*clock.Manual
	stood time.Duration
}

func (c *stopping) Mono() int64 { return c.Manual.Mono() + int64(c.stood) }

func TestNoRequestIsLateBecauseTheProcessStoodStill(t *testing.T) {
	c := &stopping{Manual: clock.NewManual(time.Unix(0, 0))}
	a := newArrivals(c, limit.GRPCRequestTimeMax, limit.GRPCRequestCheckEvery)
	r, call := expecting(a)
	for range 5 {
		c.stood += 2 * limit.GRPCRequestTimeMax
		c.Advance(limit.GRPCRequestCheckEvery)
	}
	if call.with != nil || !a.arrived(r) {
		t.Errorf("a call was ended with %v", call.with)
	}
}

func TestRequestsThatCameAreLeftAlone(t *testing.T) {
	a, c := standingArrivals()
	first, firstCall := expecting(a)
	_, stays := expecting(a)
	last, lastCall := expecting(a)
	c.Advance(limit.GRPCRequestTimeMax / 2)
	if !a.arrived(first) || !a.arrived(last) {
		t.Error("requests are late after half of their time")
	}
	a.await(first) // its memory is used again
	first.call = firstCall
	c.Advance(limit.GRPCRequestTimeMax/2 + limit.GRPCRequestCheckEvery)
	if firstCall.with != nil || lastCall.with != nil || stays.with == nil {
		t.Errorf("ended: %v, %v, %v; want the middle one alone", firstCall.with, stays.with, lastCall.with)
	}
	if !a.arrived(first) {
		t.Error("the time of a request that was used again counts from its first use")
	}
}

func TestALateRequestIsToldThatItIs(t *testing.T) {
	a, c := standingArrivals()
	r, _ := expecting(a)
	c.Advance(limit.GRPCRequestTimeMax + limit.GRPCRequestCheckEvery)
	if a.arrived(r) {
		t.Error("it arrived after its call had ended")
	}
	a.await(r)
	if !a.arrived(r) {
		t.Error("it is still late when it is used again")
	}
}

func TestNothingIsCheckedWhileNothingIsAwaited(t *testing.T) {
	a, c := standingArrivals()
	for range 3 * arrivalStripes {
		r, _ := expecting(a)
		a.arrived(r)
	}
	c.Advance(limit.GRPCRequestCheckEvery)
	if c.Timers() != 0 {
		t.Errorf("%d timers run", c.Timers())
	}
	expecting(a)
	if c.Timers() != 1 {
		t.Errorf("%d timers run for one request", c.Timers())
	}
}
