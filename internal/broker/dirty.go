package broker

import (
	"sync"
	"sync/atomic"
)

// dirtyFlag says that a topic stands in the list of topics whose space should be looked at.
type dirtyFlag struct{ set atomic.Bool }

// dirtyTopics lists the topics in which something may have become free since the sweeper last looked.
type dirtyTopics struct {
	mu     sync.Mutex
	topics []*topic
}

func (d *dirtyTopics) add(t *topic) {
	if t.dirty.set.Swap(true) {
		return
	}
	d.mu.Lock()
	d.topics = append(d.topics, t)
	d.mu.Unlock()
}

// take gives the list and begins a new one.
func (d *dirtyTopics) take() []*topic {
	d.mu.Lock()
	topics := d.topics
	d.topics = nil
	d.mu.Unlock()
	for _, t := range topics {
		t.dirty.set.Store(false)
	}
	return topics
}
