package wire

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
)

// TestPutAttributesReplaceThoseOfTheSameKeyAndLeaveTheRest compares with the official decoder, on random messages.
func TestPutAttributesReplaceThoseOfTheSameKeyAndLeaveTheRest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var body []byte
	var want []*pubsubpb.PubsubMessage
	for range 300 {
		m := &pubsubpb.PubsubMessage{Data: make([]byte, rng.IntN(300)), OrderingKey: fmt.Sprint("k", rng.IntN(3))[:rng.IntN(3)], Attributes: map[string]string{}}
		for range rng.IntN(6) {
			m.Attributes[fmt.Sprint("a", rng.IntN(9))] = string(make([]byte, rng.IntN(200)))
		}
		stored, err := proto.Marshal(&pubsubpb.PublishRequest{Messages: []*pubsubpb.PubsubMessage{m}})
		if err != nil {
			t.Fatal(err)
		}
		msg, _ := Next(stored)
		put, all := []Attribute{}, maps.Clone(m.Attributes)
		for i := range rng.IntN(4) {
			a := Attribute{Key: fmt.Sprint("a", 2*i), Value: fmt.Sprint("put", rng.IntN(100))}
			put, all[a.Key] = append(put, a), a.Value
		}
		body = AppendWithAttributes(body, msg, put)
		m.Attributes = all
		want = append(want, m)
	}
	if err := CheckBody(body, len(want)); err != nil {
		t.Fatal(err)
	}
	for i, rest := 0, body; len(rest) > 0; i++ {
		var msg []byte
		msg, rest = Next(rest)
		got := new(pubsubpb.PubsubMessage)
		if err := proto.Unmarshal(msg, got); err != nil || !proto.Equal(got, want[i]) {
			t.Fatalf("message %d is %v (%v), want %v", i, got, err, want[i])
		}
		seen := map[string]bool{}
		for key := range Attributes(msg) {
			if seen[string(key)] {
				t.Errorf("message %d has %q twice", i, key)
			}
			seen[string(key)] = true
		}
		if key := OrderingKey(msg); string(key) != want[i].OrderingKey {
			t.Errorf("message %d: ordering key %q, want %q", i, key, want[i].OrderingKey)
		}
	}
}
