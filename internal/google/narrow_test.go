package google

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestNarrowLetsInAsManyAsThereIsRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := make(narrow, 1)
		if err := n.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone, second := make(chan error, 1), make(chan error, 1)
		go func() { gone <- n.enter(ctx) }()
		cancel()
		if err := <-gone; status.Code(err) != codes.Canceled {
			t.Errorf("one whose call ended: %v", err)
		}
		go func() { second <- n.enter(t.Context()) }()
		synctest.Wait()
		if len(second) > 0 {
			t.Error("two are in")
		}
		n.leave()
		if err := <-second; err != nil {
			t.Errorf("after the first has left: %v", err)
		}
	})
}
