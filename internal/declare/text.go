package declare

import (
	"fmt"
	"strings"
)

// Text says on one line what a step did, or with dry, what it would do.
func (s *Step) Text(dry bool) string {
	verb := s.Verb.done()
	if dry && verb != string(s.Verb) {
		verb = "would " + string(s.Verb)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s", verb, s.Name)
	for i, c := range s.Changes {
		if i == 0 {
			text.WriteString(":")
		} else {
			text.WriteString(";")
		}
		fmt.Fprintf(&text, " %s %s -> %s", c.JSONName, short(c.Have), short(c.Want))
		if !c.Mutable {
			text.WriteString(" (cannot be changed)")
		}
	}
	return text.String()
}

// done is a verb once it is carried out.
func (v Verb) done() string {
	switch v {
	case Create, Update, Delete:
		return string(v) + "d"
	}
	return string(v)
}

// short keeps a line readable: definitions and code may have hundreds of lines.
func short(value string) string {
	const most = 120
	if value == "" {
		return "(unset)"
	}
	if runes := []rune(value); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return value
}

// object is a step as JSON.
type object struct {
	Action  Verb           `json:"action"`
	Kind    string         `json:"kind"`
	Name    string         `json:"name"`
	Changes []changeObject `json:"changes,omitempty"`
}

type changeObject struct {
	Field   string `json:"field"`
	Have    string `json:"have,omitempty"`
	Want    string `json:"want,omitempty"`
	Mutable bool   `json:"mutable"`
}

// Object is a step for encoding/json. Values of fields are JSON in text.
func (s *Step) Object() any {
	o := object{Action: s.Verb, Kind: s.Kind, Name: s.Name}
	for _, c := range s.Changes {
		o.Changes = append(o.Changes, changeObject{c.JSONName, c.Have, c.Want, c.Mutable})
	}
	return o
}
