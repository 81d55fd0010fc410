package wire

import (
	"math"
	"slices"
	"strconv"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
)

func TestPublishIDsThatDoNotFollowOneAnother(t *testing.T) {
	ids := []uint64{1, 1 << 62, 0, 10, 0, 0, 99, 100, math.MaxUint64}
	raw := AppendPublishIDs(nil, 998, ids)
	if len(raw) > PublishResponseSize(len(ids)) {
		t.Errorf("%d bytes, more than %d", len(raw), PublishResponseSize(len(ids)))
	}
	var got pubsubpb.PublishResponse
	if err := proto.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	ids[2], ids[4], ids[5] = 998, 999, 1000
	var want []string
	for _, id := range ids {
		want = append(want, strconv.FormatUint(id, 10))
	}
	if !slices.Equal(got.MessageIds, want) {
		t.Errorf("ids %q, want %q", got.MessageIds, want)
	}
}
