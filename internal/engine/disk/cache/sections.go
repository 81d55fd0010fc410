package cache

import (
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
)

import "sync"

// Sections holds entries that were read from footers, up to a number of bytes.
type Sections struct {
	max int64

	mu       sync.Mutex
	sections map[sectionKey]*section
	bytes    int64
	uses     uint64
}

type sectionKey struct {
	segment uint64
	at      int64
}

type section struct {
	entries []layout.Entry
	used    uint64 // when it was last asked for, in uses of the cache
}

// NewSections makes a cache for so many bytes of entries.
func NewSections(max int64) *Sections {
	return &Sections{max: max, sections: map[sectionKey]*section{}}
}

// Get gives the entries of the section at a byte of a segment, nil when they are not here. No section is without entries.
func (c *Sections) Get(segment uint64, at int64) []layout.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sections[sectionKey{segment, at}]
	if s == nil {
		return nil
	}
	c.uses++
	s.used = c.uses
	return s.entries
}

// Put takes in a section, and drops those that were not used for the longest to make room.
func (c *Sections) Put(segment uint64, at int64, entries []layout.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := sectionKey{segment, at}
	if c.sections[key] != nil {
		return
	}
	c.uses++
	c.sections[key] = &section{entries, c.uses}
	c.bytes += int64(len(entries)) * layout.EntryBytes
	for c.bytes > c.max && len(c.sections) > 1 {
		c.evict(key)
	}
}

// evict drops the section that was not asked for the longest, but not the one that just came. The lock is held.
func (c *Sections) evict(keep sectionKey) {
	var oldest sectionKey
	var found *section
	for key, s := range c.sections {
		if key != keep && (found == nil || s.used < found.used) {
			oldest, found = key, s
		}
	}
	delete(c.sections, oldest)
	c.bytes -= int64(len(found.entries)) * layout.EntryBytes
}
