package rest

import (
	"net/url"
	"slices"
	"strings"
)

// router finds the binding for a path: a tree with a level for each segment. Literals go before *, and * before **.
type router struct{ root node }

type node struct {
	literal map[string]*node
	one     *node            // *
	rest    *node            // **
	leaves  map[string]*leaf // by verb
}

// leaf is where a template ends: a binding for each HTTP method.
type leaf struct{ methods map[string]*binding }

// add enters a binding. Of two for the same method and the same paths the later one counts.
func (r *router) add(method string, t *template, b *binding) {
	at := &r.root
	for _, s := range t.segments {
		at = at.child(s)
	}
	if at.leaves == nil {
		at.leaves = make(map[string]*leaf)
	}
	l := at.leaves[t.verb]
	if l == nil {
		l = &leaf{methods: make(map[string]*binding)}
		at.leaves[t.verb] = l
	}
	l.methods[method] = b
}

func (n *node) child(segment string) *node {
	place := &n.one
	switch segment {
	case "*":
	case "**":
		place = &n.rest
	default:
		if n.literal == nil {
			n.literal = make(map[string]*node)
		}
		if n.literal[segment] == nil {
			n.literal[segment] = new(node)
		}
		return n.literal[segment]
	}
	if *place == nil {
		*place = new(node)
	}
	return *place
}

// find is the binding for a method and a path's segments. Without one, allowed are the methods that the path has; none mean that there
// is no such path.
func (r *router) find(method string, segments []string, verb string) (b *binding, allowed []string) {
	r.root.walk(segments, verb, func(l *leaf) bool {
		b = l.methods[method]
		for m := range l.methods {
			allowed = append(allowed, m)
		}
		return b != nil
	})
	if b != nil {
		return b, nil
	}
	slices.Sort(allowed)
	return nil, slices.Compact(allowed)
}

// walk visits the leaves that match, best first, until visit is true.
func (n *node) walk(segments []string, verb string, visit func(*leaf) bool) bool {
	if len(segments) == 0 {
		l := n.leaves[verb]
		return l != nil && visit(l)
	}
	if next := n.literal[segments[0]]; next != nil && next.walk(segments[1:], verb, visit) {
		return true
	}
	if n.one != nil && segments[0] != "" && n.one.walk(segments[1:], verb, visit) {
		return true
	}
	return n.rest != nil && n.rest.walk(nil, verb, visit)
}

// segmentsMax bounds the segments of a path; the deepest template has far fewer.
const segmentsMax = 64

// splitPath divides an escaped path into its segments, unescaped, and the verb behind the last colon. The path of a call without a verb
// has no colon in its last segment, since no id of a resource may have one.
func splitPath(escaped string) (segments []string, verb string, ok bool) {
	rest, rooted := strings.CutPrefix(escaped, "/")
	if !rooted {
		return nil, "", false
	}
	if segments = strings.Split(rest, "/"); len(segments) > segmentsMax {
		return nil, "", false
	}
	for i, s := range segments {
		var err error
		if segments[i], err = url.PathUnescape(s); err != nil {
			return nil, "", false
		}
	}
	last := &segments[len(segments)-1]
	if at := strings.LastIndexByte(*last, ':'); at >= 0 {
		*last, verb = (*last)[:at], (*last)[at+1:]
		if verb == "" {
			return nil, "", false
		}
	}
	return segments, verb, true
}
