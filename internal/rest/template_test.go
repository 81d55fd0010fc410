package rest

import (
	"slices"
	"testing"
)

func TestTemplates(t *testing.T) {
	for text, want := range map[string]struct {
		segments  []string
		variables []variable
		verb      string
	}{
		"/v1/x":                            {segments: []string{"v1", "x"}},
		"/v1/{a}":                          {segments: []string{"v1", "*"}, variables: []variable{{"a", 1, 2}}},
		"/v1/{a.b=projects/*}/topics":      {segments: []string{"v1", "projects", "*", "topics"}, variables: []variable{{"a.b", 1, 3}}},
		"/v1/{t=projects/*/topics/*}:do":   {segments: []string{"v1", "projects", "*", "topics", "*"}, variables: []variable{{"t", 1, 5}}, verb: "do"},
		"/v1/{p=projects/*}/schemas:check": {segments: []string{"v1", "projects", "*", "schemas"}, variables: []variable{{"p", 1, 3}}, verb: "check"},
		"/v1/{a=x/*}/{b=y/*}":              {segments: []string{"v1", "x", "*", "y", "*"}, variables: []variable{{"a", 1, 3}, {"b", 3, 5}}},
		"/v1/{r=**}:get":                   {segments: []string{"v1", "**"}, variables: []variable{{"r", 1, -1}}, verb: "get"},
		"/v1/*/x":                          {segments: []string{"v1", "*", "x"}},
	} {
		got, err := parseTemplate(text)
		if err != nil || !slices.Equal(got.segments, want.segments) || !slices.Equal(got.variables, want.variables) || got.verb != want.verb {
			t.Errorf("%s: %+v, %v\nwant %+v", text, got, err, want)
		}
	}
}

func TestBrokenTemplatesAreRefused(t *testing.T) {
	for _, text := range []string{"", "v1/x", "/", "/v1//x", "/v1/", "/v1/{a", "/v1/{a}x", "/v1/x{a}", "/v1/{=x}", "/v1/{a=**}/x", "/v1/**/x", "/v1/x:", "/v1/{a=x//y}", "/v1/a*"} {
		if got, err := parseTemplate(text); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}
