package rest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestPathsFindTheirBindings(t *testing.T) {
	var r router
	names := make(map[*binding]string)
	for _, rule := range []string{
		"GET /v1/{topic=projects/*/topics/*}",
		"DELETE /v1/{topic=projects/*/topics/*}",
		"PUT /v1/{name=projects/*/topics/*}",
		"GET /v1/{project=projects/*}/topics",
		"GET /v1/{topic=projects/*/topics/*}/subscriptions",
		"POST /v1/{topic=projects/*/topics/*}:publish",
		"POST /v1/{parent=projects/*}/schemas",
		"POST /v1/{parent=projects/*}/schemas:validate",
		"POST /v1/{project=projects/*}:test",
		"POST /v1/{resource=**}:anything",
		"GET /v1/projects/special/topics/*",
	} {
		method, path, _ := strings.Cut(rule, " ")
		parsed, err := parseTemplate(path)
		if err != nil {
			t.Fatal(err)
		}
		b := new(binding)
		for _, v := range parsed.variables {
			b.variables = append(b.variables, boundVariable{variable: v})
		}
		names[b] = rule
		r.add(method, &parsed, b)
	}
	for request, want := range map[string]string{
		"GET /v1/projects/p/topics/t":                     "GET /v1/{topic=projects/*/topics/*} projects/p/topics/t",
		"PUT /v1/projects/p/topics/t":                     "PUT /v1/{name=projects/*/topics/*} projects/p/topics/t",
		"GET /v1/projects/p/topics":                       "GET /v1/{project=projects/*}/topics projects/p",
		"GET /v1/projects/p/topics/t/subscriptions":       "GET /v1/{topic=projects/*/topics/*}/subscriptions projects/p/topics/t",
		"POST /v1/projects/p/topics/t:publish":            "POST /v1/{topic=projects/*/topics/*}:publish projects/p/topics/t",
		"POST /v1/projects/p/topics/t%3Apublish":          "POST /v1/{topic=projects/*/topics/*}:publish projects/p/topics/t",
		"GET /v1/projects/example.com:p/topics/a%25b":     "GET /v1/{topic=projects/*/topics/*} projects/example.com:p/topics/a%b",
		"POST /v1/projects/example.com:p:test":            "POST /v1/{project=projects/*}:test projects/example.com:p",
		"POST /v1/projects/p/schemas":                     "POST /v1/{parent=projects/*}/schemas projects/p",
		"POST /v1/projects/p/schemas:validate":            "POST /v1/{parent=projects/*}/schemas:validate projects/p",
		"POST /v1/a/b/c:anything":                         "POST /v1/{resource=**}:anything a/b/c",
		"GET /v1/projects/special/topics/t":               "GET /v1/projects/special/topics/*",
		"DELETE /v1/projects/special/topics/t":            "DELETE /v1/{topic=projects/*/topics/*} projects/special/topics/t",
		"POST /v1/projects/p/topics/t":                    "allow [DELETE GET PUT]",
		"PATCH /v1/projects/p/topics":                     "allow [GET]",
		"GET /v1/projects/p/topics/t:publish":             "allow [POST]",
		"GET /v1/projects/p/topics/t:nothing":             "allow []",
		"GET /v1/projects/p/topics/":                      "allow []",
		"GET /v1/projects//topics/t":                      "allow []",
		"GET /v2/projects/p/topics/t":                     "allow []",
		"GET /v1/projects/p/topics/t/":                    "allow []",
		"GET v1/projects/p/topics/t":                      "no path",
		"GET /v1/projects/p/topics/%zz":                   "no path",
		"GET /v1/projects/p/topics/t:":                    "no path",
		"GET /" + strings.Repeat("x/", segmentsMax) + "x": "no path",
	} {
		method, path, _ := strings.Cut(request, " ")
		segments, verb, ok := splitPath(path)
		got := "no path"
		if ok {
			b, others := r.find(method, segments, verb)
			got = fmt.Sprintf("allow %v", others)
			if b != nil {
				got = names[b]
				for _, v := range b.variables {
					got += " " + v.value(segments)
				}
			}
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", request, got, want)
		}
	}
}

func TestLaterBindingOfTheSamePathCounts(t *testing.T) {
	var r router
	first, second := new(binding), new(binding)
	for _, b := range []*binding{first, second} {
		r.add("GET", &template{segments: []string{"x", "*"}}, b)
	}
	if got, others := r.find("GET", []string{"x", "y"}, ""); got != second || !slices.Equal(others, nil) {
		t.Errorf("found %p, want %p; others %v", got, second, others)
	}
}
