package wire

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
)

// bodyData is the data of a body's messages.
func bodyData(t *testing.T, body []byte, count int) (list []string) {
	t.Helper()
	if err := CheckBody(body, count); err != nil {
		t.Fatal(err)
	}
	for msg, rest := Next(body); msg != nil; msg, rest = Next(rest) {
		list = append(list, string(Data(msg)))
	}
	return list
}

func TestReplaceGivesAnotherBody(t *testing.T) {
	for _, rebuilt := range []bool{false, true} {
		request := &pubsubpb.PublishRequest{Topic: "t"}
		for i := range 5 {
			m := &pubsubpb.PubsubMessage{Data: fmt.Appendf(nil, "m%d", i), Attributes: map[string]string{"a": "b"}}
			if rebuilt {
				m.MessageId = "own"
			}
			request.Messages = append(request.Messages, m)
		}
		raw, err := proto.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		var p Publish
		for range 2 { // the second time in memory that was used before
			if err := p.Scan(raw); err != nil {
				t.Fatal(err)
			}
			more := AppendAttribute(nil, "c", "d")
			if err := p.Replace(func(dst, msg []byte) ([]byte, error) { return AppendMessage(dst, msg, more), nil }); err != nil {
				t.Fatal(err)
			}
			msg, _ := Next(p.Body)
			for key, want := range map[string]string{"a": "b", "c": "d"} {
				if got, _ := LookupAttribute(msg, key); string(got) != want {
					t.Errorf("attribute %s is %q, want %q", key, got, want)
				}
			}
			odd := func(dst, msg []byte) ([]byte, error) {
				if Data(msg)[1]%2 == 0 {
					return dst, nil
				}
				return AppendMessage(dst, msg, nil), nil
			}
			if err := p.Replace(odd); err != nil {
				t.Fatal(err)
			}
			if got := bodyData(t, p.Body, p.Count); !slices.Equal(got, []string{"m1", "m3"}) {
				t.Errorf("left %q", got)
			}
			failed := errors.New("no")
			err := p.Replace(func(dst, msg []byte) ([]byte, error) { return AppendMessage(dst, msg, nil), failed })
			if got := bodyData(t, p.Body, p.Count); err != failed || !slices.Equal(got, []string{"m1", "m3"}) {
				t.Errorf("a failure is %v and left %q", err, got)
			}
		}
	}
}

func TestReplaceAllocatesNothingOnceItHasMemory(t *testing.T) {
	raw, err := proto.Marshal(&pubsubpb.PublishRequest{Topic: "t", Messages: []*pubsubpb.PubsubMessage{{Data: make([]byte, 1000)}, {Data: make([]byte, 1000)}}})
	if err != nil {
		t.Fatal(err)
	}
	var p Publish
	more := AppendAttribute(nil, "c", "d")
	same := func(dst, msg []byte) ([]byte, error) { return AppendMessage(dst, msg, more), nil }
	round := func() {
		if err := p.Scan(raw); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.Replace(same), p.Replace(same)); err != nil {
			t.Fatal(err)
		}
	}
	round()
	round()
	if allocations := testing.AllocsPerRun(100, round); allocations > 0 {
		t.Errorf("%.1f allocations", allocations)
	}
}
