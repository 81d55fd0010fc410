package lease

// Turns numbers the hand-outs of a subscription, one after the other, and knows which of the numbers still mean something: those since
// the last Reset. It outlives the queue of a subscription that is idle for a while. The zero value has given out none.
//
// Numbers wrap after four billion, past 0, which is never one. A handle that is older than three billion hand-outs is void, too.
type Turns struct {
	void uint32 // this number and those before it are void
	last uint32 // given out last
}

// voidStep is how many of the oldest numbers become void when all there are have been given out.
const voidStep = 1 << 30

// next gives out a number.
func (t *Turns) next() uint32 {
	if t.last++; t.last == 0 {
		t.last = 1
	}
	if t.last == t.void {
		t.void += voidStep
	}
	return t.last
}

// Has says whether the handle was given out and is not void.
func (t Turns) Has(h Handle) bool { return h.Turn-t.void-1 < t.last-t.void }

// Void makes all handles given out so far mean nothing.
func (t *Turns) Void() { t.void = t.last }
