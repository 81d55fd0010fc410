package rest

import (
	"bytes"
	"encoding/base64"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// publishText is a batch of 100 messages of 1 KiB.
func publishText() []byte {
	message := `{"data":"` + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("posthaste"), 114)[:1024]) + `","attributes":{"origin":"here"}}`
	return []byte(`{"messages":[` + message + string(bytes.Repeat([]byte(","+message), 99)) + `]}`)
}

func BenchmarkPublishBody(b *testing.B) {
	text := publishText()
	b.Run("ours", func(b *testing.B) {
		var p plans
		request := p.of(new(pubsubpb.PublishRequest).ProtoReflect().Descriptor())
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decode(make([]byte, 0, len(text)), text, request); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("official", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			var request pubsubpb.PublishRequest
			if err := protojson.Unmarshal(text, &request); err != nil {
				b.Fatal(err)
			}
			if _, err := proto.Marshal(&request); err != nil {
				b.Fatal(err)
			}
		}
	})
}
