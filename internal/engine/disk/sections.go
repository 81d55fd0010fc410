package disk

import "sync"

// sectionCache holds entries that were read from footers, up to a number of bytes.
type sectionCache struct {
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
	entries []entry
	used    uint64 // when it was last asked for, in uses of the cache
}

func newSectionCache(max int64) sectionCache {
	return sectionCache{max: max, sections: map[sectionKey]*section{}}
}

// get gives an extent's entries, nil when they are not here. An extent is never without entries.
func (c *sectionCache) get(x *extent) []entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sections[sectionKey{x.segment.id, x.section}]
	if s == nil {
		return nil
	}
	c.uses++
	s.used = c.uses
	return s.entries
}

func (c *sectionCache) put(x *extent, entries []entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := sectionKey{x.segment.id, x.section}
	if c.sections[key] != nil {
		return
	}
	c.uses++
	c.sections[key] = &section{entries, c.uses}
	c.bytes += int64(len(entries)) * entryBytes
	for c.bytes > c.max && len(c.sections) > 1 {
		c.evict(key)
	}
}

// evict drops the section that was not asked for the longest, but not the one that just came. The lock is held.
func (c *sectionCache) evict(keep sectionKey) {
	var oldest sectionKey
	var found *section
	for key, s := range c.sections {
		if key != keep && (found == nil || s.used < found.used) {
			oldest, found = key, s
		}
	}
	delete(c.sections, oldest)
	c.bytes -= int64(len(found.entries)) * entryBytes
}
