package text

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Pairs is a flag that may be given many times, each time with KEY=VALUE.
type Pairs map[string]string

// Set adds a pair. The value may be empty and may hold further equals signs; a key given twice is a mistake.
func (p Pairs) Set(text string) error {
	key, value, found := strings.Cut(text, "=")
	if !found || key == "" {
		return fmt.Errorf("%q is not of the form KEY=VALUE", text)
	}
	if _, twice := p[key]; twice {
		return fmt.Errorf("key %q is given twice", key)
	}
	p[key] = value
	return nil
}

// String is the pairs in the order of their keys.
func (p Pairs) String() string {
	lines := make([]string, 0, len(p))
	for _, key := range slices.Sorted(maps.Keys(p)) {
		lines = append(lines, key+"="+p[key])
	}
	return strings.Join(lines, ",")
}

// Type names the kind of flag in cobra's own messages.
func (p Pairs) Type() string { return "KEY=VALUE" }
