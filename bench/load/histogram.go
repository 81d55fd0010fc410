package load

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets of at most 1/64 relative width, so its size is bounded however long a run is. The zero value
// is empty and ready. Not safe for concurrent use: each worker has its own, merged at the end.
type Histogram struct {
	counts [histogramBuckets]uint64
	total  uint64
	max    time.Duration
}

const (
	histogramSubBits = 6 // 64 buckets to a power of two
	// The largest power of two is 2^42 ns, 73 minutes; anything longer lies in the last bucket.
	histogramBuckets = (42 - histogramSubBits + 2) << histogramSubBits
)

// bucketOf maps nanoseconds below 64 to themselves and anything else to its power of two and the six bits after the leading one.
func bucketOf(nanoseconds uint64) int {
	if nanoseconds < 1<<histogramSubBits {
		return int(nanoseconds)
	}
	shift := bits.Len64(nanoseconds) - histogramSubBits - 1
	bucket := (shift+1)<<histogramSubBits + int(nanoseconds>>shift) - 1<<histogramSubBits
	return min(bucket, histogramBuckets-1)
}

// upperEdge is the largest number of nanoseconds that lies in the bucket.
func upperEdge(bucket int) uint64 {
	if bucket < 1<<histogramSubBits {
		return uint64(bucket)
	}
	shift := bucket>>histogramSubBits - 1
	first := uint64(bucket&(1<<histogramSubBits-1)+1<<histogramSubBits) << shift
	return first + 1<<shift - 1
}

// Record counts n times the duration d; a negative one counts as zero.
func (h *Histogram) Record(d time.Duration, n uint64) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))] += n
	h.total += n
	h.max = max(h.max, d)
}

// Merge adds everything that other counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Count is how many durations were recorded.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest duration recorded, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Percentile returns a duration that at least p percent of all recorded ones do not exceed (nearest rank); at most 1.6 % above the
// exact one, never below it. Zero when nothing was recorded.
func (h *Histogram) Percentile(p float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(p / 100 * float64(h.total))
	if float64(rank) < p/100*float64(h.total) {
		rank++
	}
	rank = min(max(rank, 1), h.total)
	seen := uint64(0)
	for i, n := range h.counts {
		seen += n
		if seen >= rank {
			return min(time.Duration(upperEdge(i)), h.max)
		}
	}
	return h.max
}
