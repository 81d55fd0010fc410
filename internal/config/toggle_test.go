package config

import "testing"

func TestToggles(t *testing.T) {
	for text, want := range map[string]struct{ on, good bool }{
		"true": {true, true}, "false": {false, true}, "": {}, "yes": {}, "1": {}, "True": {},
	} {
		on := false
		err := (&toggle{into: &on}).set(text)
		if on != want.on || (err == nil) != want.good {
			t.Errorf("%q: %v, %v", text, on, err)
		}
	}
}

func TestToggleNeedsNoValueAsAFlag(t *testing.T) {
	for flag, want := range map[string]bool{"--dev": true, "--dev=true": true, "--dev=false": false} {
		c, err := load(t, []string{flag}, nil, "")
		if err != nil || c.Dev != want {
			t.Errorf("%s: %+v, %v", flag, c, err)
		}
	}
	if _, err := load(t, []string{"--dev=maybe"}, nil, ""); err == nil {
		t.Error("--dev=maybe is taken")
	}
}

func TestOrigins(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "*": "*", "https://a.example": "https://a.example", " http://localhost:3000 , https://b.example": "http://localhost:3000,https://b.example",
	} {
		var got string
		if err := (&origins{into: &got}).set(text); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"a.example", "https://a.example/", "https://a.example/path", "ftp://a.example", "https://", "https://a.example,x"} {
		var got string
		if err := (&origins{into: &got}).set(text); err == nil {
			t.Errorf("%q is taken as %q", text, got)
		}
	}
}
