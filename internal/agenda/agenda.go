// Package agenda says which of many things is to be looked at next. It is for what happens seldom, hours or days apart; for deadlines of
// messages there is package wheel.
package agenda

import "container/heap"

// Thing is what stands on an agenda: on one at most.
type Thing interface {
	// Entry is the same for the thing's whole life, and the agenda's alone.
	Entry() *Entry
}

// Entry is where a thing stands. The zero value: nowhere.
type Entry struct {
	at    int64
	place int // in the heap, + 1
}

// Agenda holds things and the times at which they are due, in nanoseconds of any clock. The zero value is empty. It is not safe for
// concurrent use.
type Agenda[T Thing] struct{ queue queue[T] }

// Len is how many things stand on the agenda.
func (a *Agenda[T]) Len() int { return len(a.queue) }

// Set makes a thing due at a time, instead of when it was due before.
func (a *Agenda[T]) Set(thing T, at int64) {
	e := thing.Entry()
	e.at = at
	if e.place == 0 {
		heap.Push(&a.queue, thing)
		return
	}
	heap.Fix(&a.queue, e.place-1)
}

// Clear takes a thing off the agenda if it stands there.
func (a *Agenda[T]) Clear(thing T) {
	if e := thing.Entry(); e.place != 0 {
		heap.Remove(&a.queue, e.place-1)
	}
}

// Due takes the thing off the agenda that has been due for the longest; false when none is due yet.
func (a *Agenda[T]) Due(now int64) (thing T, ok bool) {
	if len(a.queue) == 0 || a.queue[0].Entry().at > now {
		return thing, false
	}
	return heap.Pop(&a.queue).(T), true
}

// queue is the heap, as its package wants it.
type queue[T Thing] []T

func (q queue[T]) Len() int           { return len(q) }
func (q queue[T]) Less(i, j int) bool { return q[i].Entry().at < q[j].Entry().at }

func (q queue[T]) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].Entry().place, q[j].Entry().place = i+1, j+1
}

func (q *queue[T]) Push(thing any) {
	*q = append(*q, thing.(T))
	thing.(T).Entry().place = len(*q)
}

func (q *queue[T]) Pop() any {
	last := len(*q) - 1
	thing := (*q)[last]
	clear((*q)[last:])
	*q = (*q)[:last]
	thing.Entry().place = 0
	return thing
}
