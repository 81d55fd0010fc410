package push

import "github.com/posthaste-io/posthaste/internal/limit"

// pace says how many messages may be on their way to one endpoint, and when. It is a pure state machine: times are nanoseconds of a
// clock that never goes back, those of a post being when it began and when its end was noticed.
//
//  1. The window starts small. While nearly every post succeeds within a second each success makes room for one more, so that a window that is
//     in use doubles in the time of one post; otherwise it grows by one in that time. It never exceeds limit.PushOutstandingMax.
//  2. A failure halves the window, once for all the posts that had begun by then.
//  3. When too many posts fail, nothing is begun for limit.PushBackoffMin; then one post goes out to look. Each time that fails the
//     pause doubles, up to limit.PushBackoffMax. A success ends it. With a retry policy there are no pauses: messages wait by themselves.
type pace struct {
	retry   bool    // the subscription has a retry policy
	window  float64 // posts at a time; 1 to limit.PushOutstandingMax
	trouble float64 // share of the latest posts that failed, as a moving average
	pauses  int     // in a row
	until   int64   // the end of the latest pause; 0: there was none
	halved  int64   // when the window was last halved
}

const (
	windowFirst = 4

	// recent is about how many posts the share of failures looks back on.
	recent = 32

	// troubleFew is the share of failures below which the window grows fast, troubleMany that from which on the endpoint counts as failing.
	// From a clean start four failures in a row are many.
	troubleFew  = 1.0 / 100
	troubleMany = 1.0 / 10

	// quick is how fast answers come from an endpoint that can take more.
	quick = int64(1e9)
)

func newPace(retry bool) pace { return pace{retry: retry, window: windowFirst} }

// room is how many posts may begin now; when that is none because of a pause, wait is how long the rest of it is.
func (p *pace) room(now int64, inflight int) (posts int, wait int64) {
	if now < p.until {
		return 0, p.until - now
	}
	return max(0, int(p.window)-inflight), 0
}

// failing says that too many posts fail.
func (p *pace) failing() bool { return p.trouble >= troubleMany }

// succeeded counts a post that succeeded. inflight is how many there were, itself included: a window that is not used does not grow.
func (p *pace) succeeded(began, ended int64, inflight int) {
	p.trouble -= p.trouble / recent
	if p.pauses > 0 && began >= p.until {
		p.pauses = 0
		p.trouble = min(p.trouble, troubleMany/2)
	}
	if 2*inflight < int(p.window) {
		return
	}
	switch {
	case p.trouble < troubleFew && ended-began < quick:
		p.window++
	case !p.failing():
		p.window += 1 / p.window
	}
	p.window = min(p.window, limit.PushOutstandingMax)
}

// failed counts a post that failed.
func (p *pace) failed(began, ended int64) {
	p.trouble += (1 - p.trouble) / recent
	if began >= p.halved {
		p.window = max(1, p.window/2)
		p.halved = ended
	}
	if p.retry || !p.failing() || began < p.until {
		return
	}
	wait := int64(limit.PushBackoffMax)
	if p.pauses < 16 { // from there on it would be more
		wait = min(wait, int64(limit.PushBackoffMin)<<p.pauses)
	}
	p.pauses++
	p.until = ended + wait
	p.window = 1
}
