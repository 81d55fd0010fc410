package rest

import (
	"fmt"
	"strings"
)

// A template is the path of an HTTP rule (google/api/http.proto):
//
//	Template = "/" Segments [ ":" Verb ]      Segments = Segment { "/" Segment }
//	Segment  = "*" | "**" | LITERAL | "{" FieldPath [ "=" Segments ] "}"
//
// A * is one segment of a path and a ** is all the rest of it, so that nothing but a verb may follow.
type template struct {
	segments  []string // literals, * and **
	variables []variable
	verb      string // empty for none
}

// variable is a field that takes its value from some of a path's segments.
type variable struct {
	path       string // of fields, with dots
	start, end int    // segments; an end of -1 is the path's
}

func parseTemplate(text string) (template, error) {
	var t template
	rest, rooted := strings.CutPrefix(text, "/")
	if !rooted {
		return t, fmt.Errorf("path template %q does not begin with a slash", text)
	}
	if at := strings.LastIndexByte(rest, ':'); at > strings.LastIndexAny(rest, "/}") {
		rest, t.verb = rest[:at], rest[at+1:]
		if t.verb == "" {
			return t, fmt.Errorf("path template %q has an empty verb", text)
		}
	}
	for rest != "" {
		var part string
		if rest[0] == '{' {
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return t, fmt.Errorf("path template %q has a variable without an end", text)
			}
			part, rest = rest[1:end], rest[end+1:]
			t.variable(part)
		} else {
			end := strings.IndexAny(rest, "/{")
			if end < 0 {
				end = len(rest)
			}
			part, rest = rest[:end], rest[end:]
			t.segments = append(t.segments, part)
		}
		var more bool
		if rest, more = strings.CutPrefix(rest, "/"); more == (rest == "") {
			return t, fmt.Errorf("path template %q has a segment that is not between slashes", text)
		}
	}
	return t, t.check(text)
}

// variable adds a variable and its segments, * unless it names them.
func (t *template) variable(part string) {
	path, pattern, named := strings.Cut(part, "=")
	if !named {
		pattern = "*"
	}
	start := len(t.segments)
	t.segments = append(t.segments, strings.Split(pattern, "/")...)
	t.variables = append(t.variables, variable{path: path, start: start, end: len(t.segments)})
}

func (t *template) check(text string) error {
	if len(t.segments) == 0 {
		return fmt.Errorf("path template %q has no segments", text)
	}
	for i, s := range t.segments {
		switch {
		case s == "**" && i != len(t.segments)-1:
			return fmt.Errorf("path template %q goes on after **", text)
		case s == "" || s != "*" && s != "**" && strings.ContainsAny(s, "*{}=:"):
			return fmt.Errorf("path template %q has the segment %q", text, s)
		}
	}
	last := len(t.variables) - 1
	if last >= 0 && t.variables[last].end == len(t.segments) && t.segments[len(t.segments)-1] == "**" {
		t.variables[last].end = -1
	}
	for _, v := range t.variables {
		if v.path == "" {
			return fmt.Errorf("path template %q has a variable without a name", text)
		}
	}
	return nil
}

// value is what a variable stands for in a path.
func (v *variable) value(segments []string) string {
	if v.end < 0 {
		return strings.Join(segments[v.start:], "/")
	}
	return strings.Join(segments[v.start:v.end], "/")
}
