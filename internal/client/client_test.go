package client

import (
	"errors"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestShortNamesBelongToTheProject(t *testing.T) {
	c, err := Dial("127.0.0.1:1", "shop")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for got, want := range map[string]string{
		c.Topic("orders"):                  "projects/shop/topics/orders",
		c.Subscription("billing"):          "projects/shop/subscriptions/billing",
		c.Snapshot("noon"):                 "projects/shop/snapshots/noon",
		c.Schema("order"):                  "projects/shop/schemas/order",
		c.Topic("projects/other/topics/t"): "projects/other/topics/t",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestErrorsSayWhyAMessageDoesNotFollowItsSchema(t *testing.T) {
	refusal, err := status.New(codes.InvalidArgument, "Invalid data.").WithDetails(
		&errdetails.ErrorInfo{Metadata: map[string]string{"revisionInfo": "Byte 9\nis wrong."}})
	if err != nil {
		t.Fatal(err)
	}
	c := &Connection{Address: "host:1"}
	if got := c.Failed(refusal.Err(), "publish to %s", "t").Error(); got != "publish to t: INVALID_ARGUMENT: Invalid data. Byte 9 is wrong." {
		t.Errorf("%q", got)
	}
}

func TestErrorsSayOnOneLineWhatWasTriedAndWhy(t *testing.T) {
	c := &Connection{Address: "host:1"}
	if c.Failed(nil, "get") != nil {
		t.Error("success is an error")
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{status.Error(codes.NotFound, "no\ntopic"), "get topic t: NOT_FOUND: no topic"},
		{status.Error(codes.Canceled, "x"), "get topic t: CANCELLED: x"},
		{status.Error(codes.FailedPrecondition, "x"), "get topic t: FAILED_PRECONDITION: x"},
		{status.Error(codes.Unavailable, dialing+`dial tcp: refused"`), "get topic t: UNAVAILABLE: no server at host:1: dial tcp: refused"},
	} {
		err := c.Failed(test.err, "get topic %s", "t")
		if err.Error() != test.want || !errors.Is(err, test.err) {
			t.Errorf("%q, want %q", err, test.want)
		}
	}
}
