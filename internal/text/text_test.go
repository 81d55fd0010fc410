package text

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * Day, "0s": 0} {
		var s Span
		if err := s.Set(text); err != nil || time.Duration(s) != want || s.Proto().AsDuration() != want {
			t.Errorf("%s is %v, %v", text, time.Duration(s), err)
		}
		var again Span
		if shown := s.String(); want != 0 && (again.Set(shown) != nil || again != s) {
			t.Errorf("%s is shown as %q", text, shown)
		}
	}
	for _, text := range []string{"", "x", "1.5d", "-1d", "d", "1w"} {
		if err := new(Span).Set(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestMoments(t *testing.T) {
	var m Moment
	if err := m.Set("2026-01-02T03:04:05.5+01:00"); err != nil || !m.At.Equal(time.Date(2026, 1, 2, 2, 4, 5, 5e8, time.UTC)) {
		t.Errorf("%v, %v", m.At, err)
	}
	for text, ago := range map[string]time.Duration{"now": 0, "1h": time.Hour, "7d": 7 * Day} {
		before := time.Now()
		if err := m.Set(text); err != nil || m.At.Before(before.Add(-ago)) || m.At.After(time.Now().Add(-ago)) || m.String() != text {
			t.Errorf("%s is %v, %v", text, m.At, err)
		}
	}
	for _, text := range []string{"", "yesterday", "-1h", "2026-01-02"} {
		if err := m.Set(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestPairs(t *testing.T) {
	p := Pairs{}
	for _, text := range []string{"b=2=3", "a="} {
		if err := p.Set(text); err != nil {
			t.Error(err)
		}
	}
	if p.String() != "a=,b=2=3" {
		t.Errorf("%q", p.String())
	}
	for _, text := range []string{"a=again", "none", "=x"} {
		if err := p.Set(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestResourcesAreDescribedFieldByField(t *testing.T) {
	s := &pubsubpb.Subscription{
		Name: "s\nt", ExpirationPolicy: &pubsubpb.ExpirationPolicy{}, Labels: map[string]string{"b": "2", "a": "1"},
		RetryPolicy: &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(Day)}, State: pubsubpb.Subscription_ACTIVE,
	}
	var shown strings.Builder
	Describe(&shown, s)
	want := "name:\ts\nt\nlabels:\ta=1,b=2\nexpiration_policy:\t(empty)\nretry_policy.minimum_backoff:\t1d\nstate:\tACTIVE\n"
	if shown.String() != want {
		t.Errorf("%q", shown.String())
	}
	line, err := JSON(&pubsubpb.Topic{Name: "t", Labels: map[string]string{"a": "b"}})
	if err != nil || string(line) != `{"name":"t","labels":{"a":"b"}}`+"\n" {
		t.Errorf("%s, %v", line, err)
	}
	if Data([]byte("plain")) != "plain" || Data([]byte("two\nlines")) != `"two\nlines"` || Data([]byte{0xff}) != `"\xff"` || OneLine("a\tb") != "a b" {
		t.Error("data that is not one line of text is not quoted")
	}
}
