package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// comparison feeds one request to a scanner and to the official decoder and prints what each found, for comparing.
type comparison func(req []byte) (got, want string, err, officialErr error)

func texts(list [][]byte) []string {
	out := []string{}
	for _, item := range list {
		out = append(out, string(item))
	}
	return out
}

func compareAcknowledge() comparison {
	var r wire.Acknowledge
	return func(req []byte) (got, want string, err, officialErr error) {
		var o pubsubpb.AcknowledgeRequest
		err, officialErr = r.Scan(req), proto.Unmarshal(req, &o)
		got = fmt.Sprintf("%q %q", r.Subscription, texts(r.AckIDs))
		want = fmt.Sprintf("%q %q", o.Subscription, o.AckIds)
		return got, want, err, officialErr
	}
}

func compareModify() comparison {
	var r wire.ModifyAckDeadline
	return func(req []byte) (got, want string, err, officialErr error) {
		var o pubsubpb.ModifyAckDeadlineRequest
		err, officialErr = r.Scan(req), proto.Unmarshal(req, &o)
		got = fmt.Sprintf("%q %q %d", r.Subscription, texts(r.AckIDs), r.AckDeadlineSeconds)
		want = fmt.Sprintf("%q %q %d", o.Subscription, o.AckIds, o.AckDeadlineSeconds)
		return got, want, err, officialErr
	}
}

func comparePull() comparison {
	var r wire.Pull
	return func(req []byte) (got, want string, err, officialErr error) {
		var o pubsubpb.PullRequest
		err, officialErr = r.Scan(req), proto.Unmarshal(req, &o)
		got = fmt.Sprintf("%q %t %d", r.Subscription, r.ReturnImmediately, r.MaxMessages)
		want = fmt.Sprintf("%q %t %d", o.Subscription, o.ReturnImmediately, o.MaxMessages) //nolint:staticcheck // deprecated, and in use
		return got, want, err, officialErr
	}
}

func compareStreamingPull() comparison {
	var r wire.StreamingPull
	return func(req []byte) (got, want string, err, officialErr error) {
		var o pubsubpb.StreamingPullRequest
		err, officialErr = r.Scan(req), proto.Unmarshal(req, &o)
		got = fmt.Sprintf("%q %q %d %q %d %q %d %d %d", r.Subscription, texts(r.AckIDs), r.ModifyDeadlineSeconds, texts(r.ModifyDeadlineAckIDs),
			r.StreamAckDeadlineSeconds, r.ClientID, r.MaxOutstandingMessages, r.MaxOutstandingBytes, r.ProtocolVersion)
		want = fmt.Sprintf("%q %q %d %q %d %q %d %d %d", o.Subscription, o.AckIds, o.ModifyDeadlineSeconds, o.ModifyDeadlineAckIds,
			o.StreamAckDeadlineSeconds, o.ClientId, o.MaxOutstandingMessages, o.MaxOutstandingBytes, o.ProtocolVersion)
		return got, want, err, officialErr
	}
}

func (c comparison) check(t *testing.T, req []byte) {
	t.Helper()
	if len(req) > limit.AckRequestBytesMax {
		return
	}
	got, want, err, officialErr := c(req)
	if (err != nil) != (officialErr != nil) || err != nil && !errors.Is(err, wire.ErrMalformed) {
		t.Fatalf("request %x: Scan says %v, the official decoder %v", req, err, officialErr)
	}
	if err == nil && got != want {
		t.Fatalf("request %x: found\n%s, want\n%s", req, got, want)
	}
}

// requestSeeds has every field of every request type at the numbers that it could have, alone, twice, and around good ones.
func requestSeeds(t testing.TB) [][]byte {
	good := [][]byte{
		marshal(t, &pubsubpb.AcknowledgeRequest{Subscription: "projects/p/subscriptions/s", AckIds: []string{"a", "b"}}),
		marshal(t, &pubsubpb.ModifyAckDeadlineRequest{Subscription: "projects/p/subscriptions/s", AckIds: []string{"a", ""}, AckDeadlineSeconds: -5}),
		marshal(t, &pubsubpb.PullRequest{Subscription: "projects/p/subscriptions/s", ReturnImmediately: true, MaxMessages: 1000}), //nolint:staticcheck // deprecated, and in use
		marshal(t, &pubsubpb.StreamingPullRequest{
			Subscription: "projects/p/subscriptions/s", AckIds: []string{"a"}, ModifyDeadlineSeconds: []int32{0, -1, 600}, ModifyDeadlineAckIds: []string{"b", "c", "d"},
			StreamAckDeadlineSeconds: 60, ClientId: "client", MaxOutstandingMessages: 1000, MaxOutstandingBytes: -1, ProtocolVersion: 1,
		}),
	}
	seeds := slices.Clone(good)
	for _, f := range oddFields() {
		seeds = append(seeds, f, join(f, f))
		for _, g := range good {
			seeds = append(seeds, join(g, f), join(f, g))
		}
	}
	return seeds
}

func fuzzRequests(f *testing.F, c comparison) {
	addSeeds(f, requestSeeds(f))
	f.Fuzz(func(t *testing.T, req []byte) { c.check(t, req) })
}

func FuzzAcknowledge(f *testing.F)   { fuzzRequests(f, compareAcknowledge()) }
func FuzzModify(f *testing.F)        { fuzzRequests(f, compareModify()) }
func FuzzPull(f *testing.F)          { fuzzRequests(f, comparePull()) }
func FuzzStreamingPull(f *testing.F) { fuzzRequests(f, compareStreamingPull()) }

func TestRequestScannersAgreeWithTheOfficialDecoder(t *testing.T) {
	for name, c := range map[string]comparison{
		"Acknowledge": compareAcknowledge(), "ModifyAckDeadline": compareModify(), "Pull": comparePull(), "StreamingPull": compareStreamingPull(),
	} {
		t.Run(name, func(t *testing.T) {
			seeds := requestSeeds(t)
			for _, req := range seeds {
				c.check(t, req)
			}
			mutated(seeds, 30_000, func(req []byte) { c.check(t, req) })
		})
	}
}

func TestAckRequestsAreLimited(t *testing.T) {
	const want = "Request payload size exceeds the limit: 524288 bytes."
	for name, scan := range map[string]func(req []byte) error{
		"Acknowledge":       new(wire.Acknowledge).Scan,
		"ModifyAckDeadline": new(wire.ModifyAckDeadline).Scan,
		"StreamingPull":     new(wire.StreamingPull).Scan,
	} {
		req := textField(1, strings.Repeat("s", 512<<10-4))
		if len(req) != 512<<10 {
			t.Fatalf("a request of %d bytes", len(req))
		}
		if err := scan(req); err != nil {
			t.Errorf("%s of 512 KiB: %v", name, err)
		}
		if err := scan(append(req, 0)); err == nil || err.Error() != want {
			t.Errorf("%s of one byte more: %v, want %q", name, err, want)
		}
	}
}

func TestARequestLeavesNothingForTheNext(t *testing.T) {
	var r wire.StreamingPull
	if err := r.Scan(requestSeeds(t)[3]); err != nil || len(r.ModifyDeadlineAckIDs) != 3 {
		t.Fatalf("%v, %d ids", err, len(r.ModifyDeadlineAckIDs))
	}
	if err := r.Scan(nil); err != nil {
		t.Fatal(err)
	}
	if r.Subscription != nil || r.ClientID != nil || len(r.AckIDs)+len(r.ModifyDeadlineAckIDs)+len(r.ModifyDeadlineSeconds) != 0 ||
		r.StreamAckDeadlineSeconds != 0 || r.MaxOutstandingBytes != 0 || r.MaxOutstandingMessages != 0 || r.ProtocolVersion != 0 {
		t.Errorf("an empty request after a full one: %+v", r)
	}
	if err := r.Scan(bytes.Repeat(textField(2, "x"), 100_000)); err != nil || len(r.AckIDs) != 100_000 {
		t.Fatalf("%v, %d ids", err, len(r.AckIDs))
	}
	if err := r.Scan(nil); err != nil || cap(r.AckIDs) != 0 {
		t.Errorf("%v; the memory of %d ids is kept", err, cap(r.AckIDs))
	}
}
