package blackbox

import (
	"bytes"
	"compress/zlib"
	"slices"
	"strconv"
	"strings"
	"testing"

	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// transforms is a list of one function with the body.
func transforms(body string) []*pb.MessageTransform {
	return []*pb.MessageTransform{{Transform: &pb.MessageTransform_JavascriptUdf{
		JavascriptUdf: &pb.JavaScriptUDF{FunctionName: "change", Code: "function change(message, metadata) {" + body + "}"},
	}}}
}

func (s *server) transformTopic(t *testing.T, topic string, list []*pb.MessageTransform) error {
	t.Helper()
	_, err := s.UpdateTopic(limited(t), &pb.UpdateTopicRequest{
		Topic: &pb.Topic{Name: topic, MessageTransforms: list}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"message_transforms"}},
	})
	return err
}

func TestTopicTransforms(t *testing.T) {
	t.Parallel()
	s := own(t)
	topic, sub := s.pair(t, "x")
	list := transforms("if (message.data === 'drop') return null; message.attributes.seen = message.data; message.data = message.data.toUpperCase(); return message")
	if err := s.transformTopic(t, topic, list); err != nil {
		t.Fatal(err)
	}
	ids := s.publish(t, topic, "a", "drop", "b")
	s.restart(t, true)
	got := s.pull(t, sub, 2)
	if data := dataOf(got); !slices.Equal(data, []string{"A", "B"}) || got[0].Message.Attributes["seen"] != "a" {
		t.Errorf("delivered %q, %v", data, got[0].Message.Attributes)
	}
	if got[0].Message.MessageId != ids[0] || got[1].Message.MessageId != ids[2] {
		t.Errorf("published as %q, delivered as %q and %q", ids, got[0].Message.MessageId, got[1].Message.MessageId)
	}
	if dropped, err := strconv.ParseInt(ids[1], 10, 64); err != nil || dropped <= 0 {
		t.Errorf("a dropped message has the id %q", ids[1])
	}
	s.ack(t, sub, got...)
	if err := s.transformTopic(t, topic, transforms("throw new Error('never')")); err != nil {
		t.Fatal(err)
	}
	_, err := s.Publish(limited(t), &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte("x")}}})
	wantStatus(t, err, codes.InvalidArgument, "")
	if err == nil || !strings.Contains(err.Error(), "never") {
		t.Errorf("refused with %v", err)
	}
	disabled := transforms("throw new Error('never')")
	disabled[0].Disabled = true
	if err := s.transformTopic(t, topic, disabled); err != nil {
		t.Fatal(err)
	}
	s.publish(t, topic, "as it is")
	if data := dataOf(s.pull(t, sub, 1)); data[0] != "as it is" {
		t.Errorf("a disabled transform made it %q", data)
	}
}

func TestTransformsAreCheckedWhenTheyAreSet(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic := s.topic(t, "t-x")
	err := s.transformTopic(t, topic, transforms("return {"))
	wantStatus(t, err, codes.InvalidArgument, "")
	if err == nil || !strings.Contains(err.Error(), "Invalid message_transforms[0]: the code is not valid JavaScript") {
		t.Errorf("a syntax error: %v", err)
	}
	missing := transforms("return message")
	missing[0].GetJavascriptUdf().FunctionName = "missing"
	_, err = s.CreateTopic(limited(t), &pb.Topic{Name: s.topicName("other"), MessageTransforms: missing})
	wantStatus(t, err, codes.InvalidArgument, `Invalid message_transforms[0]: the code does not define the function "missing"`)
}

func TestSubscriptionTransformsWithGooglesClient(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x", func(r *pb.Subscription) {
		r.MessageTransforms = transforms("if (Number(message.data.slice(1)) % 2) return null; message.data = metadata.message_id + ' ' + message.data; return message")
	})
	plain := s.subscription(t, "plain", topic)
	r := receive(t, client, sub, pubsub.ReceiveSettings{}, func(m *pubsub.Message) {
		if !strings.HasPrefix(string(m.Data), m.ID+" m") {
			t.Errorf("message %s has the data %q", m.ID, m.Data)
		}
		m.Ack()
	})
	publishAll(t, client, topic, "m", 200)
	r.deliveries(t, 100)
	if messages, most := r.different(); messages != 100 || most != 1 {
		t.Errorf("%d different messages, one of them %d times; want 100, each once", messages, most)
	}
	for _, m := range s.pull(t, plain, 200) {
		if !strings.HasPrefix(string(m.Message.Data), "m") {
			t.Fatalf("another subscription got %q", m.Message.Data)
		}
	}
}

func TestCompressionTransforms(t *testing.T) {
	t.Parallel()
	s := common(t)
	step := func(mode pb.Compression_CompressionMode) []*pb.MessageTransform {
		return []*pb.MessageTransform{{Transform: &pb.MessageTransform_Compression{
			Compression: &pb.Compression{CompressionAlgorithm: pb.Compression_ZLIB, CompressionMode: mode},
		}}}
	}
	topic, sub := s.pair(t, "x")
	back := s.subscription(t, "back", topic, func(r *pb.Subscription) { r.MessageTransforms = step(pb.Compression_DECOMPRESS) })
	if err := s.transformTopic(t, topic, step(pb.Compression_COMPRESS)); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("posthaste ", 500)
	s.publish(t, topic, text)
	small := s.pull(t, sub, 1)[0].Message.Data
	reader, err := zlib.NewReader(bytes.NewReader(small))
	if err != nil {
		t.Fatalf("%d bytes that are not zlib: %v", len(small), err)
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(reader); err != nil || plain.String() != text {
		t.Errorf("decompressed: %d bytes, %v", plain.Len(), err)
	}
	if got := dataOf(s.pull(t, back, 1))[0]; got != text {
		t.Errorf("the subscription that decompresses got %d bytes, want %d", len(got), len(text))
	}
}

func TestKillersDoNotTakeTheBrokerDown(t *testing.T) {
	t.Parallel()
	s := own(t)
	topic, sub := s.pair(t, "x")
	for _, code := range []string{
		"while (true) {}",
		"function deep() { return deep() } deep()",
		"Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1)",
		"let text = 'x'; for (;;) text += text",
		"let text = '['; for (let i = 0; i < 23; i++) text += text; JSON.parse(text)",
	} {
		if err := s.transformTopic(t, topic, transforms("if (message.data === 'kill') { "+code+" } return message")); err != nil {
			t.Fatal(err)
		}
		_, err := s.Publish(limited(t), &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte("kill")}}})
		wantStatus(t, err, codes.InvalidArgument, "")
		s.publish(t, topic, "alive")
		got := s.pull(t, sub, 1)
		if data := dataOf(got); data[0] != "alive" {
			t.Errorf("after %s came %q", code, data)
		}
		s.ack(t, sub, got...)
	}
}
