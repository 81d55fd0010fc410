package lease

// Join is a new holder.
func (q *Queue) Join() Holder {
	for h := range q.holders {
		if q.holders[h].status == absent {
			q.holders[h] = q.newHolder()
			return Holder(h)
		}
	}
	q.holders = append(q.holders, q.newHolder())
	return Holder(len(q.holders) - 1)
}

// Leave ends a holder. What it has goes back at once, in the order of offsets, and has not failed. It returns how many messages that is.
func (q *Queue) Leave(now int64, h Holder) int { return q.leave(now, h, false) }

// Abandon is Leave for a holder that broke off, maybe over one of its messages: what it has failed, but of an ordering key only the first
// message; those after it could not be reached.
func (q *Queue) Abandon(now int64, h Holder) int { return q.leave(now, h, true) }

func (q *Queue) leave(now int64, h Holder, broken bool) int {
	o := q.holder(h)
	if h == 0 {
		panic("bug: lease: holder 0 does not leave")
	}
	q.batch = q.batch[:0]
	for slot := q.first(o.list); slot != 0 && slot != o.list; slot = q.entries.at(slot).next {
		q.batch = append(q.batch, slot)
	}
	q.sortBatch()
	for _, slot := range q.batch {
		// The first of a key takes those after it along.
		switch e := q.entries.at(slot); {
		case e.state != out:
		case broken:
			q.fail(now, slot, e, Disconnected)
		default:
			q.requeue(slot, e)
			q.offer(slot, e)
		}
	}
	back := len(q.batch)
	o.status = retired
	q.dismiss(h)
	q.shrink() // its anchors may have been what kept the memory
	return back
}

// Retire says that a holder takes no more; what it has stays out with it. For a unary pull of an ordered subscription: a holder of its
// own that retires gets several messages of a key at once, and nobody gets more of the key until those are settled.
func (q *Queue) Retire(h Holder) {
	o := q.holder(h)
	if h == 0 {
		panic("bug: lease: holder 0 does not retire")
	}
	o.status = retired
	q.dismiss(h)
}

func (q *Queue) holder(h Holder) *holder {
	if int(h) >= len(q.holders) || q.holders[h].status == absent {
		panic("bug: lease: no such holder")
	}
	return &q.holders[h]
}

// dismiss forgets a holder that retired and has nothing any more.
func (q *Queue) dismiss(h Holder) {
	o := &q.holders[h]
	if o.status != retired || o.messages > 0 {
		return
	}
	for _, list := range []uint32{o.list, o.lines.again, o.lines.fresh} {
		if q.first(list) != 0 {
			panic("bug: lease: a holder with nothing out has lines")
		}
		q.freeEntry(list)
	}
	*o = holder{}
}
