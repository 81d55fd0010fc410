package catalog

import (
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refused fails the test unless err has the code and the text.
func refused(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if got := status.Code(err); got != code {
		t.Fatalf("code = %v (%v), want %v", got, err, code)
	}
	if got := status.Convert(err).Message(); got != text {
		t.Fatalf("text differs\n got %s\nwant %s", got, text)
	}
}

func badNameText(name string) string {
	return "Invalid resource name given (name=" + name + "). Refer to https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information."
}

func TestNamesHaveAProjectACollectionAndAnID(t *testing.T) {
	long := "a" + strings.Repeat("b", 254)
	for _, test := range []struct {
		name    string
		project string // empty: refused
		id      string
	}{
		{"projects/p/topics/abc", "p", "abc"},
		{"projects/p/topics/A-b_c.d~e+f%9", "p", "A-b_c.d~e+f%9"},
		{"projects/p/topics/" + long, "p", long},
		{"projects/123456/topics/abc", "123456", "abc"},
		{"projects/example.com:foo/topics/abc", "example.com:foo", "abc"},
		{"projects/My_Project/topics/abc", "My_Project", "abc"},
		{"projects/p/topics/Google", "p", "Google"}, // the reserved prefix is lower case
		{"projects/p/topics/goo", "p", "goo"},
		{"projects/p/topics/good", "p", "good"},
		{"", "", ""},
		{"abc", "", ""},
		{DeletedTopic, "", ""},
		{"projects/p/topics/ab", "", ""},
		{"projects/p/topics/" + long + "c", "", ""},
		{"projects/p/topics/1bc", "", ""},
		{"projects/p/topics/-bc", "", ""},
		{"projects/p/topics/goog", "", ""},
		{"projects/p/topics/google1", "", ""},
		{"projects/p/topics/a b", "", ""},
		{"projects/p/topics/a/b", "", ""},
		{"projects/p/topics/abé", "", ""},
		{"projects/p/topics/abc/", "", ""},
		{"/projects/p/topics/abc", "", ""},
		{"projects//topics/abc", "", ""},
		{"projects/ /topics/abc", "", ""},
		{"projects/-p/topics/abc", "", ""},
		{"projects/p/topic/abc", "", ""},
		{"projects/p/subscriptions/abc", "", ""},
		{"projects/p/topics", "", ""},
		{"projects/p/topics/", "", ""},
		{"Projects/p/topics/abc", "", ""},
		{"projects/p/topics/abc@0123abcd", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, other := range []struct {
				collection string
				parse      func(string) (Name, error)
			}{{"topics", ParseTopic}, {"subscriptions", ParseSubscription}, {"snapshots", ParseSnapshot}} {
				name := swap(test.name, other.collection)
				got, err := other.parse(name)
				if test.project == "" {
					refused(t, err, codes.InvalidArgument, badNameText(name))
					continue
				}
				if want := (Name{test.project, test.id}); err != nil || got != want {
					t.Errorf("%s: %v, %v; want %v", name, got, err, want)
				}
			}
			if got, want := ValidTopicName([]byte(test.name)), test.project != ""; got != want {
				t.Errorf("ValidTopicName = %v, want %v", got, want)
			}
		})
	}
}

// swap turns a topic's name, good or bad, into one of another collection that is as good or bad.
func swap(name, collection string) string {
	if collection != "topics" {
		name = strings.Replace(name, "/"+collection, "/topics?", 1)
	}
	return strings.Replace(name, "/topics/", "/"+collection+"/", 1)
}

func TestSchemaNamesMayCarryARevision(t *testing.T) {
	for _, test := range []struct{ name, id, revision string }{
		{"projects/p/schemas/abc", "abc", ""},
		{"projects/p/schemas/abc@0123abcd", "abc", "0123abcd"},
		{"projects/p/schemas/abc@", "", ""},
		{"projects/p/schemas/abc@0123abc", "", ""},
		{"projects/p/schemas/abc@0123ABCD", "", ""},
		{"projects/p/schemas/abc@0123abcd@0123abcd", "", ""},
		{"projects/p/schemas/ab@0123abcd", "", ""},
		{"projects/p/topics/abc", "", ""},
		{DeletedSchema, "", ""},
	} {
		name, revision, err := ParseSchema(test.name)
		if test.id == "" {
			refused(t, err, codes.InvalidArgument, badNameText(test.name))
			continue
		}
		if err != nil || name != (Name{"p", test.id}) || revision != test.revision {
			t.Errorf("%s: %v, %q, %v", test.name, name, revision, err)
		}
	}
}

func TestProjectNames(t *testing.T) {
	for _, name := range []string{"", "p", "projects", "projects/", "projects/p/", "projects/p/topics", "projects/p p", "projects/" + strings.Repeat("p", 256)} {
		_, err := ParseProject(name)
		refused(t, err, codes.InvalidArgument, badNameText(name))
	}
	for _, project := range []string{"p", "12", "example.com:p", "My-Project_1"} {
		if got, err := ParseProject("projects/" + project); err != nil || got != project {
			t.Errorf("%s: %q, %v", project, got, err)
		}
	}
}

func TestTextsNameTheLastSegment(t *testing.T) {
	refused(t, NotFound("projects/p/topics/abc"), codes.NotFound, "Resource not found (resource=abc).")
	refused(t, AlreadyExists("projects/p/subscriptions/abc"), codes.AlreadyExists, "Resource already exists in the project (resource=abc).")
}

func TestTextsRepeatLongOrBrokenInputOnlyInPart(t *testing.T) {
	text := status.Convert(BadName(strings.Repeat("é", 5_000_000))).Message()
	if len(text) > 2000 || !strings.Contains(text, "é...)") {
		t.Errorf("text of %d bytes: %.80s", len(text), text)
	}
	refused(t, BadName("a\xffb"), codes.InvalidArgument, badNameText("a\uFFFDb"))
	text = status.Convert(BadAckID([]byte(strings.Repeat("é", 250_000)))).Message()
	if len(text) > 2000 || !strings.Contains(text, "é...)") {
		t.Errorf("text of %d bytes: %.80s", len(text), text)
	}
}

func TestValidNamesCostNoAllocation(t *testing.T) {
	name := []byte("projects/some-project/topics/some-topic")
	if n := testing.AllocsPerRun(100, func() { ValidTopicName(name) }); n != 0 {
		t.Errorf("%v allocations a name, want 0", n)
	}
}

func BenchmarkValidTopicName(b *testing.B) {
	name := []byte("projects/some-project/topics/some-topic")
	for b.Loop() {
		if !ValidTopicName(name) {
			b.Fatal("refused")
		}
	}
}

func FuzzTopicNamesAreWhatTheRegularExpressionSays(f *testing.F) {
	for _, seed := range []string{"", "projects/p/topics/abc", "projects/p/topics/goog", "projects/example.com:p/topics/a%~", "projects/p/topics/ab\n", "projects/p/topics/a\x00b", "projects/p/topics/ªbc"} {
		f.Add(seed)
	}
	form := regexp.MustCompile(`\Aprojects/[A-Za-z0-9][A-Za-z0-9._:-]{0,254}/topics/([A-Za-z][A-Za-z0-9_.~+%-]{2,254})\z`)
	f.Fuzz(func(t *testing.T, name string) {
		match := form.FindStringSubmatch(name)
		want := match != nil && !strings.HasPrefix(match[1], "goog")
		if got := ValidTopicName([]byte(name)); got != want {
			t.Fatalf("%q: valid = %v, want %v", name, got, want)
		}
		parsed, err := ParseTopic(name)
		if (err == nil) != want {
			t.Fatalf("%q: %v, want valid = %v", name, err, want)
		}
		if err == nil && "projects/"+parsed.Project+"/topics/"+parsed.ID != name {
			t.Fatalf("%q came apart as %+v", name, parsed)
		}
	})
}
