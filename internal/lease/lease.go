// Package lease holds the delivery rules of one subscription: who has which message and until when, what comes next, and what becomes
// of a message that was not acknowledged.
//
// It is a pure state machine: no goroutine, lock, clock or I/O inside, and the same calls give the same answers. now is an argument, in
// nanoseconds of a clock that never goes back.
//
//	           Admit                Take                Ack
//	log ───────────────▶ ready ───────────────▶ out ───────────▶ gone
//	                      ▲ ▲                   │ │
//	                      │ └── Leave, Return ──┘ │ Nack, Expire
//	                      │                       ▼
//	                      │◀─────────────────── failed ──────▶ dead ──▶ Dead, Forwarded
//	                      │    at once            │             ▲           │
//	                      └────── waiting ◀───────┘             └───────────┘
//	                            (backoff, delay)                 ForwardFailed: as after a failure
//
// Rules, which the tests check after every step:
//
//  1. A message is in one state, and with at most one holder.
//  2. An unacknowledged message is not given to another before its deadline, except that its holder leaves or gives it back.
//  3. Of one ordering key, what is out comes before what is not: nobody gets a message while an earlier one of its key is neither
//     out with the same holder nor done.
//  4. A message that is done is never given out again.
//  5. Only what is out counts against a holder's credit.
//
// # The ready order
//
// Messages that were out before come first, in the order in which they came back; then new ones by offset. So that messages that fail
// for ever cannot shut out the others, the eighth hand-out in a row goes to a new message if there is one.
//
// Of an ordering key only its first undelivered message stands in a line; the next one takes its place when that is taken. While
// something of a key is out, the line is one of its holder's own, and what is lower in offset of the holder's line and the common one
// goes first. Across keys the order is therefore only about that of the log; within a key it is exact.
//
// Room is left for three things. Priority: one pair of lines per level where there is one pair now. Delay: [Past].NotBefore, which waits in the
// wheel like a backoff. Time to live: a message that is ready has no timer set, so that its wheel node can hold its end; one that comes
// back from a holder is looked at as it comes back.
//
// # One step to acknowledge
//
// Ack forgets the message at once, though its log record is not yet durable. That is safe because the message then is nowhere: the cursor
// has passed it and no queue holds it, so it can be given out again only by a process that starts from the log. Either the record is
// durable then, or the append failed, which poisons the log so that the broker answers nothing more: the ack was never confirmed.
package lease

import "time"

// Holder is somebody who takes messages: a stream, as Join numbers it. Holder 0 is always there and stands for callers that nobody
// knows afterwards, such as unary pulls and push. Of an ordering key, holder 0 has at most one message out.
type Holder uint32

// Handle names one hand-out of a message; it is part of the ack id.
type Handle struct {
	Slot uint32
	Turn uint32 // never 0, and unique in a queue for four billion hand-outs
}

// Lease is a message that was given out.
type Lease struct {
	Handle
	Offset  uint64
	Bytes   uint32
	Attempt uint32 // 1 + failures: 1 for the first delivery; of a dead message, how often it was delivered. Stays at 65,536.
}

// Rules are what a subscription's configuration says. The zero value: no order, at least once, back at once, no dead letters.
type Rules struct {
	Ordered     bool // keep the order of each ordering key. A change concerns messages admitted afterwards.
	ExactlyOnce bool // only the newest handle of a lease that has not expired can ack, nack or extend
	// A message that failed n times waits BackoffMin·2^(n−1), and up to a tenth more, but at most BackoffMax. Both 0: it does not wait.
	BackoffMin, BackoffMax time.Duration
	AttemptsMax            int // a message that failed so often is dead; 0: none ever is
	// Journal keeps failures for Failures, which the owner must then call.
	Journal bool
}

// Past is what a message brings along that is not new.
//
// One that failed as often as Rules.AttemptsMax allows is dead at once, whatever NotBefore says.
type Past struct {
	Failures  uint32
	Reason    Reason // of the last failure
	NotBefore int64  // on the queue's clock; not given out earlier
}

// Verdict is the answer to what a holder says about a lease.
type Verdict uint8

const (
	// Done: it took effect; an ack is to be recorded.
	Done Verdict = iota
	// Stale: the message has been given out again since, or is being forwarded to the dead letter topic.
	Stale
	// Expired: the lease ended, by its deadline or because an earlier message of its key came back.
	Expired
	// Unknown: the queue has no such message: it is acknowledged, or was dropped.
	Unknown
	// Unordered: with Ordered and ExactlyOnce, an earlier message of the key is not acknowledged yet. The lease stays.
	Unordered
)

func (v Verdict) String() string {
	return [...]string{"done", "stale", "expired", "unknown", "unordered"}[v]
}

// Failure is a failed delivery.
type Failure struct {
	Offset   uint64
	Failures uint32 // how often the message has failed by now
	Reason   Reason
	Wait     time.Duration // the backoff that begins with it
}
