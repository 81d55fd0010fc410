package load

import (
	"errors"
	"fmt"
	"sync"
)

// ErrOrder says that a message was delivered after a later one of its ordering key.
var ErrOrder = errors.New("messages of an ordering key came out of order")

// order follows the ordering keys of one subscription over all of its streams. Safe for concurrent use.
type order struct {
	mu   sync.Mutex
	next []uint64 // by key: the lowest number that its next message may have
}

func newOrder(keys int) *order { return &order{next: make([]uint64, keys)} }

// follow takes in one response, before any of it is acknowledged: from then on another stream may get what comes next.
//
// A message that comes again fails, too: nothing is given back in a work that is in order, and leases outlast it.
func (o *order) follow(keys []int, numbers []uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, key := range keys {
		if key < 0 || key >= len(o.next) {
			return fmt.Errorf("message %d came without an ordering key of this work", numbers[i])
		}
		if numbers[i] < o.next[key] {
			return fmt.Errorf("%w: message %d of key %d after %d", ErrOrder, numbers[i], key, o.next[key]-1)
		}
		o.next[key] = numbers[i] + 1
	}
	return nil
}
