package filter_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/posthaste-io/posthaste/internal/filter"
	"github.com/posthaste-io/posthaste/internal/limit"
)

// model is a filter as a function of a message's attributes, made together with its text.
type model struct {
	text   string
	wants  func(map[string]string) bool
	single bool // an operand by itself
}

var (
	modelKeys   = []string{"a", "b-1", "C_", "AND", "x y", "é"}
	modelValues = []string{"", "1", "12", "a\"\\", "み", "NOT"}
)

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

// draw makes a filter of at most so many levels.
func draw(r *rand.Rand, levels int) model {
	if levels == 0 || r.IntN(4) == 0 {
		return drawTest(r)
	}
	if r.IntN(3) == 0 {
		inner := operand(draw(r, levels-1))
		return model{text: pick(r, []string{"NOT ", "-", "- ", "NOT\t"}) + inner.text, single: true,
			wants: func(m map[string]string) bool { return !inner.wants(m) }}
	}
	parts, texts := make([]model, 2+r.IntN(2)), []string(nil)
	for i := range parts {
		parts[i] = operand(draw(r, levels-1))
		texts = append(texts, parts[i].text)
	}
	all := r.IntN(2) == 0
	word := " OR "
	if all {
		word = " AND "
	}
	return model{text: strings.Join(texts, word), wants: func(m map[string]string) bool {
		for _, p := range parts {
			if p.wants(m) != all {
				return !all
			}
		}
		return all
	}}
}

// operand puts a filter in parentheses where it needs them.
func operand(m model) model {
	if !m.single {
		m.text, m.single = "("+m.text+")", true
	}
	return m
}

func drawTest(r *rand.Rand) model {
	key, value := pick(r, modelKeys), pick(r, modelValues)
	written := key
	if strings.ContainsAny(key, " é") || r.IntN(4) == 0 {
		written = quote(r, key)
	}
	var text string
	var wants func(got string, there bool) bool
	switch r.IntN(4) {
	case 0:
		text = "attributes:" + written
		wants = func(_ string, there bool) bool { return there }
	case 1:
		text = fmt.Sprintf("attributes.%s = %s", written, quote(r, value))
		wants = func(got string, there bool) bool { return there && got == value }
	case 2:
		text = fmt.Sprintf("attributes.%s!=%s", written, quote(r, value))
		wants = func(got string, there bool) bool { return !there || got != value }
	default:
		text = fmt.Sprintf("hasPrefix(attributes.%s, %s)", written, quote(r, value))
		wants = func(got string, there bool) bool { return there && strings.HasPrefix(got, value) }
	}
	return model{text: text, single: true, wants: func(m map[string]string) bool {
		got, there := m[key]
		return wants(got, there)
	}}
}

// quote writes a string in any of the ways that there are.
func quote(r *rand.Rand, s string) string {
	var b strings.Builder
	for _, c := range s {
		switch way := r.IntN(4); {
		case way == 0:
			fmt.Fprintf(&b, `\u%04x`, c)
		case way == 1 && c < 0x80:
			fmt.Fprintf(&b, `\x%02X`, c)
		case way == 2 && c < 0x80:
			fmt.Fprintf(&b, `\%03o`, c)
		case c == '"', c == '\\':
			b.WriteString(`\` + string(c))
		default:
			b.WriteRune(c)
		}
	}
	return `"` + b.String() + `"`
}

func drawMessage(r *rand.Rand) map[string]string {
	m := map[string]string{}
	for range r.IntN(4) {
		m[pick(r, modelKeys)] = pick(r, modelValues)
	}
	return m
}

func TestFiltersAgreeWithTheirModel(t *testing.T) {
	judged := 0
	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := draw(r, 3)
		if len(m.text) > limit.FilterBytesMax {
			continue
		}
		f, err := filter.Parse(m.text)
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, m.text, err)
		}
		for range 10 {
			attributes := drawMessage(r)
			if got, want := f.Match(message(attributes)), m.wants(attributes); got != want {
				t.Fatalf("seed %d: %s: wants %q: %v, should be %v", seed, m.text, attributes, got, want)
			}
			judged++
		}
	}
	if judged < 100_000 {
		t.Errorf("only %d messages were judged: most filters were too long", judged)
	}
}

// FuzzParse reads any text. What is refused is refused at a place in it, and what is read stays the same in parentheses and becomes the
// opposite under NOT.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`attributes:"iana.org/language_tag" AND (attributes.name = "net" OR attributes.name = "org")`,
		`attributes.name = "com" AND -attributes:"x"`,
		`NOT hasPrefix(attributes.a, "\u0041\x42\103\"\\")`,
		`attributes:a AND attributes.b="1" OR attributes.c="2"`,
		`attributes.a != "\ud83d\ude00"`, `attributes."`, `((-`, "\xff", `attributes.a="\x`, `attributes.a="\u12`,
	} {
		f.Add(seed)
	}
	messages := [][]byte{nil}
	for seed := range uint64(20) {
		messages = append(messages, message(drawMessage(rand.New(rand.NewPCG(seed, 2)))))
	}
	f.Fuzz(func(t *testing.T, text string) {
		read, err := filter.Parse(text)
		if err != nil {
			if wrong := err.(*filter.Error); wrong.Column < 1 || wrong.Column > len(text)+1 || wrong.Expected == "" || wrong.Found == "" {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if len(text) > limit.FilterBytesMax-len("NOT ()") {
			return
		}
		same, err := filter.Parse("(" + text + ")")
		if err != nil {
			t.Fatalf("%q in parentheses: %v", text, err)
		}
		opposite, err := filter.Parse("NOT (" + text + ")")
		if err != nil {
			t.Fatalf("NOT %q: %v", text, err)
		}
		for _, msg := range messages {
			if want := read.Match(msg); same.Match(msg) != want || opposite.Match(msg) == want {
				t.Fatalf("%q: wants %x: %v, in parentheses %v, with NOT %v", text, msg, want, same.Match(msg), opposite.Match(msg))
			}
		}
	})
}
