package delivery

import (
	"context"
	"strconv"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

const wantsYes = `attributes.want = "yes"`

// publishWanted publishes n messages, numbered from first; of each so many the last is wanted.
func (b *bench) publishWanted(first, n, each int) {
	b.t.Helper()
	for n > 0 {
		request := &pubsubpb.PublishRequest{Topic: topicName}
		for range min(n, 1000) {
			want := "no"
			if (first+1)%each == 0 {
				want = "yes"
			}
			request.Messages = append(request.Messages, &pubsubpb.PubsubMessage{
				Data: []byte(strconv.Itoa(first)), Attributes: map[string]string{"want": want},
			})
			first, n = first+1, n-1
		}
		b.publishRequest(request)
	}
}

func TestMessagesThatAreNotWantedTakeNoCredit(t *testing.T) {
	b := newBench(t, &pubsubpb.Subscription{Filter: wantsYes})
	b.publishWanted(0, 40, 10)
	s := b.stream(Credit{MessagesMax: 2})
	list := b.now(s)
	b.expect("the first two", list, "9", "19")
	b.expect("none beyond the credit", b.now(s))
	b.ack(list...)
	b.expect("the others", b.now(s), "29", "39")
	s.Leave()
}

// TestAFarMessageIsFound has more messages before the one that is wanted than are passed over at a time.
func TestAFarMessageIsFound(t *testing.T) {
	const far = 5*passedMessagesMax + 5
	b := newBench(t, &pubsubpb.Subscription{Filter: wantsYes})
	b.publishWanted(0, far+3, far)
	t.Run("by one who does not wait", func(t *testing.T) {
		s := b.stream(Credit{})
		b.expect("what is wanted", b.now(s), strconv.Itoa(far-1))
		s.Leave()
	})
	b.reopen()
	t.Run("by one who waits", func(t *testing.T) {
		s := b.stream(Credit{})
		defer s.Leave()
		for rounds := 1; ; rounds++ {
			list, err := s.Take(b.ctx, 10, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 1 {
				b.expect("what is wanted", []got{b.read(&list[0])}, strconv.Itoa(far-1))
				if rounds < 2 {
					t.Error("all was passed over in one go, with the lock held")
				}
				return
			}
		}
	})
	b.reopen()
	t.Run("by another when the first leaves on the way", func(t *testing.T) {
		other := b.stream(Credit{})
		defer other.Leave()
		found := make(chan string)
		ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
		defer cancel()
		first := b.stream(Credit{})
		if list, err := first.Take(ctx, 10, 1<<20); err != nil || len(list) > 0 {
			t.Fatal(len(list), err)
		}
		go func() {
			for {
				list, err := other.Take(ctx, 10, 1<<20)
				if err != nil {
					found <- err.Error()
					return
				}
				if len(list) > 0 {
					found <- b.read(&list[0]).text
					return
				}
			}
		}()
		first.Leave()
		if text := <-found; text != strconv.Itoa(far-1) {
			t.Error("found", text)
		}
	})
}
