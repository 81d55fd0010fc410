package delivery

import (
	"slices"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

func TestNacksOfOneRequestAreASet(t *testing.T) {
	b := newBench(t, &pubsubpb.Subscription{EnableMessageOrdering: true, EnableExactlyOnceDelivery: true})
	for _, m := range []struct{ text, key string }{{"k0", "k"}, {"free0", ""}, {"k1", "k"}, {"l0", "l"}, {"free1", ""}, {"k2", "k"}, {"l1", "l"}} {
		b.publishRequest(&pubsubpb.PublishRequest{Topic: topicName, Messages: []*pubsubpb.PubsubMessage{{Data: []byte(m.text), OrderingKey: m.key}}})
	}
	s := b.stream(Credit{})
	defer s.Leave()
	list := b.now(s)
	b.expect("all", list, "k0", "free0", "k1", "l0", "free1", "k2", "l1")
	mixed := []got{list[3], list[4], list[2], list[0], list[1], list[6], list[5]} // free1 before free0
	verdicts := make([]Verdict, len(mixed)+1)
	b.sub.Modify(ids(append(mixed, list[1])), verdicts, 0)
	if want := slices.Repeat([]Verdict{Done}, len(mixed)); !slices.Equal(verdicts[:len(mixed)], want) || verdicts[len(mixed)] == Done {
		t.Errorf("verdicts %v, want all done but for what is there twice", verdicts)
	}
	of := func(list []got, initial byte) (some []got) {
		return slices.DeleteFunc(slices.Clone(list), func(g got) bool { return g.text[0] != initial })
	}
	again := b.now(s)
	b.expect("one key", of(again, 'k'), "k0", "k1", "k2")
	b.expect("another key", of(again, 'l'), "l0", "l1")
	b.expect("without a key, as they were given back", of(again, 'f'), "free1", "free0")
}
