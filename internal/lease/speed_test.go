package lease

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// flow moves messages through a queue with a number of them out at any time.
type flow struct {
	q      *Queue
	keys   [][]byte
	window []Lease
	next   uint64
	now    int64
	holder Holder
}

func newFlow(window, keys int) *flow {
	f := &flow{q: New(Rules{Ordered: keys > 0}, 1), window: make([]Lease, window)}
	f.holder = f.q.Join()
	for i := range keys {
		f.keys = append(f.keys, fmt.Append(nil, "customer-", i))
	}
	return f
}

// move takes in one message, gives one out, and acks the oldest that is out.
func (f *flow) move() {
	var key []byte
	if len(f.keys) > 0 {
		key = f.keys[f.next%uint64(len(f.keys))]
	}
	f.q.Admit(f.next, 1000, key)
	l, ok := f.q.Take(f.now, f.holder, 1<<40, f.now+int64(10*time.Second))
	if !ok || l.Offset != f.next {
		panic("the message that was admitted is not taken")
	}
	oldest := &f.window[f.next%uint64(len(f.window))]
	if oldest.Turn != 0 && f.q.Ack(f.now, oldest.Handle, oldest.Offset) != Done {
		panic("not acked")
	}
	*oldest = l
	f.next++
	f.now += 1000
	if f.next%1000 == 0 {
		f.q.Expire(f.now, math.MaxInt)
	}
}

func TestNothingIsAllocatedOnceWarm(t *testing.T) {
	for _, keys := range []int{0, 50} {
		t.Run(fmt.Sprintf("keys=%d", keys), func(t *testing.T) {
			f := newFlow(1000, keys)
			for range 5000 {
				f.move()
			}
			if allocs := testing.AllocsPerRun(5000, f.move); allocs != 0 {
				t.Fatalf("%v allocations a message", allocs)
			}
		})
	}
}

func TestFailureAllocatesNothingOnceWarm(t *testing.T) {
	q := New(Rules{Ordered: true, BackoffMin: time.Second, BackoffMax: time.Minute}, 1)
	admit(q, "a", "a", "b", "", "", "c")
	now := int64(0)
	h := q.Join()
	round := func() {
		for {
			l, ok := q.Take(now, h, unlimited, now+second)
			if !ok {
				break
			}
			if l.Offset%2 == 0 {
				q.Nack(now, l.Handle, l.Offset)
			}
		}
		now += 10 * second
		q.Expire(now, math.MaxInt)
		q.Leave(now, h)
		h = q.Join()
	}
	round()
	if allocs := testing.AllocsPerRun(1000, round); allocs != 0 {
		t.Fatalf("%v allocations a round", allocs)
	}
}

// BenchmarkMessage is Admit, Take and Ack of one message.
func BenchmarkMessage(b *testing.B) {
	for _, c := range []struct{ out, keys int }{{1000, 0}, {1_000_000, 0}, {1000, 1}, {1000, 100}, {1000, 10_000}, {1_000_000, 100_000}} {
		b.Run(fmt.Sprintf("out=%d/keys=%d", c.out, c.keys), func(b *testing.B) {
			f := newFlow(c.out, c.keys)
			for range c.out {
				f.move()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				f.move()
			}
		})
	}
}

// BenchmarkRedelivery is a Nack and the Take that follows.
func BenchmarkRedelivery(b *testing.B) {
	q := New(Rules{}, 1)
	admit(q, make([]string, 1000)...)
	for i := range b.N {
		l, _ := q.Take(int64(i), 0, unlimited, second)
		q.Nack(int64(i), l.Handle, l.Offset)
	}
}

// BenchmarkExpire is one lease that runs out and is given out again, of a million.
func BenchmarkExpire(b *testing.B) {
	const messages = 1_000_000
	q := New(Rules{}, 1)
	for i := range uint64(messages) {
		q.Admit(i, 1, nil)
	}
	now := int64(0)
	for i := range b.N {
		deadline := now + second + int64(i)*7919%(9*second)
		if _, ok := q.Take(now, 0, unlimited, deadline); !ok {
			now += 11 * second
			q.Expire(now, math.MaxInt)
		}
	}
}
