package lease

import "strconv"

// Reason says how a message failed last. Values are part of the storage format: they are never given another meaning.
type Reason uint16

const (
	// Nacked: its holder gave it back.
	Nacked Reason = 0
	// DeadlineExpired: its holder said nothing in time.
	DeadlineExpired Reason = 1
	// PushFailed: it was pushed to an endpoint that gave no answer.
	PushFailed Reason = 2
	// Disconnected: its holder went away without a word.
	Disconnected Reason = 3

	// statusMin is the lowest HTTP status; those are reasons as they are.
	statusMin Reason = 100
)

// PushStatus is the reason of a push that was answered with an HTTP status other than success.
func PushStatus(code int) Reason { return Reason(max(code, int(statusMin))) }

// String is the reason as dead letters carry it.
func (r Reason) String() string {
	switch {
	case r >= statusMin:
		return "push status " + strconv.Itoa(int(r))
	case r == DeadlineExpired:
		return "expired"
	case r == PushFailed:
		return "push failed"
	case r == Disconnected:
		return "disconnected"
	}
	return "nacked"
}
