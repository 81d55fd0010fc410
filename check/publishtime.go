package check

import (
	"cmp"
	"slices"
)

// judgePublishTime asks that a message whose publish began after another one's was answered does not carry an earlier publish time.
// Publishes that overlap may stand either way.
func judgePublishTime(h *History, _ Options) []Violation {
	times := make(map[*publish]int64)
	topics := make(map[string][]*publish)
	for _, s := range h.subscriptions {
		for _, d := range s.deliveries {
			if d.pub == nil || !d.pub.accepted() || d.pub.Topic != s.topic {
				continue
			}
			if _, known := times[d.pub]; !known {
				times[d.pub] = d.PublishTimeNS
				topics[s.topic] = append(topics[s.topic], d.pub)
			}
		}
	}
	var found []Violation
	for _, byBegin := range topics {
		byEnd := slices.Clone(byBegin)
		slices.SortFunc(byBegin, func(p, q *publish) int { return cmp.Compare(p.begin, q.begin) })
		slices.SortFunc(byEnd, func(p, q *publish) int { return cmp.Compare(p.end, q.end) })
		var latest *publish // of those answered before p began, the one with the greatest publish time
		next := 0
		for _, p := range byBegin {
			for ; next < len(byEnd) && byEnd[next].end < p.begin; next++ {
				if latest == nil || times[byEnd[next]] > times[latest] {
					latest = byEnd[next]
				}
			}
			if latest != nil && times[latest] > times[p] {
				found = append(found, violation("publish time is before that of an earlier message", latest.Event, p.Event))
			}
		}
	}
	return found
}
