package blackbox

import (
	"slices"
	"strings"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

const (
	stateAvro = `{"type": "record", "name": "State", "namespace": "samples", "fields": [
		{"name": "name", "type": "string"}, {"name": "post_abbr", "type": "string"}]}`
	stateAvroMore = `{"type": "record", "name": "State", "namespace": "samples", "fields": [
		{"name": "name", "type": "string"}, {"name": "post_abbr", "type": "string"}, {"name": "people", "type": ["null", "int"], "default": null}]}`
	stateProto = `syntax = "proto3"; package samples; message State { string name = 1; string post_abbr = 2; }`

	ohioJSON     = `{"name": "Ohio", "post_abbr": "OH"}`
	ohioMoreJSON = `{"name": "Ohio", "post_abbr": "OH", "people": {"int": 11}}`
	ohioAvro     = "\x08Ohio\x04OH"
	ohioProto    = "\x0a\x04Ohio\x12\x02OH"
)

// schemas is the schema service of the test's server.
func (s *server) schemas(t *testing.T) pb.SchemaServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // a test is over: nobody cares how its connection ends
	return pb.NewSchemaServiceClient(conn)
}

func (s *server) parent() string { return "projects/" + s.project }

func (s *server) createSchema(t *testing.T, id string, kind pb.Schema_Type, definition string) *pb.Schema {
	t.Helper()
	made, err := s.schemas(t).CreateSchema(limited(t), &pb.CreateSchemaRequest{Parent: s.parent(), SchemaId: id, Schema: &pb.Schema{Type: kind, Definition: definition}})
	if err != nil {
		t.Fatalf("create schema: %v", err)
	}
	return made
}

func (s *server) commitSchema(t *testing.T, name, definition string) *pb.Schema {
	t.Helper()
	made, err := s.schemas(t).CommitSchema(limited(t), &pb.CommitSchemaRequest{Name: name, Schema: &pb.Schema{Type: pb.Schema_AVRO, Definition: definition}})
	if err != nil {
		t.Fatalf("commit schema: %v", err)
	}
	return made
}

// schemaTopic makes a topic whose messages follow a schema, and a subscription.
func (s *server) schemaTopic(t *testing.T, id string, settings *pb.SchemaSettings) (topic, sub string) {
	t.Helper()
	topic = s.topicName(id)
	made, err := s.CreateTopic(limited(t), &pb.Topic{Name: topic, SchemaSettings: settings})
	if err != nil {
		t.Fatalf("create topic: %v", err)
	}
	if !proto.Equal(made.SchemaSettings, settings) {
		t.Errorf("created with %v, want %v", made.SchemaSettings, settings)
	}
	return topic, s.subscription(t, "s-"+id, topic)
}

func (s *server) tryPublish(t *testing.T, topic string, data ...string) error {
	t.Helper()
	r := &pb.PublishRequest{Topic: topic}
	for _, d := range data {
		r.Messages = append(r.Messages, &pb.PubsubMessage{Data: []byte(d), Attributes: map[string]string{"own": "x"}})
	}
	_, err := s.Publish(limited(t), r)
	return err
}

const badMessage = "Invalid data in message: Message failed schema validation."

func TestASchemaLivesThroughItsCalls(t *testing.T) {
	t.Parallel()
	s := own(t)
	c := s.schemas(t)
	first := s.createSchema(t, "state", pb.Schema_AVRO, stateAvro)
	if first.Name != s.parent()+"/schemas/state" || len(first.RevisionId) != 8 || time.Since(first.RevisionCreateTime.AsTime()) > time.Hour {
		t.Errorf("created %v", first)
	}
	second := s.commitSchema(t, first.Name, stateAvroMore)
	third, err := c.RollbackSchema(limited(t), &pb.RollbackSchemaRequest{Name: first.Name, RevisionId: first.RevisionId})
	if err != nil || third.Definition != stateAvro || third.RevisionId == first.RevisionId {
		t.Fatalf("rolled back to %v, %v", third, err)
	}
	revisions := func() (ids []string) {
		t.Helper()
		page, err := c.ListSchemaRevisions(limited(t), &pb.ListSchemaRevisionsRequest{Name: first.Name, View: pb.SchemaView_FULL})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Schemas {
			if v.Definition == "" {
				t.Errorf("%v has no definition", v)
			}
			ids = append(ids, v.RevisionId)
		}
		return ids
	}
	want := []string{third.RevisionId, second.RevisionId, first.RevisionId}
	if got := revisions(); !slices.Equal(got, want) {
		t.Errorf("revisions %q, want %q", got, want)
	}
	if _, err := c.DeleteSchemaRevision(limited(t), &pb.DeleteSchemaRevisionRequest{Name: first.Name + "@" + third.RevisionId}); err != nil {
		t.Fatal(err)
	}
	s.createSchema(t, "other", pb.Schema_PROTOCOL_BUFFER, stateProto)
	for _, crash := range []bool{false, true} {
		if got := revisions(); !slices.Equal(got, want[1:]) {
			t.Errorf("revisions %q, want %q", got, want[1:])
		}
		if got, err := c.GetSchema(limited(t), &pb.GetSchemaRequest{Name: first.Name}); err != nil || !proto.Equal(got, second) {
			t.Errorf("the schema is %v, %v; want %v", got, err, second)
		}
		s.restart(t, crash)
	}
	list, err := c.ListSchemas(limited(t), &pb.ListSchemasRequest{Parent: s.parent()})
	if err != nil || len(list.Schemas) != 2 || list.Schemas[0].Name != s.parent()+"/schemas/other" || list.Schemas[0].Definition != "" {
		t.Errorf("schemas %v, %v", list, err)
	}
	if _, err := c.DeleteSchema(limited(t), &pb.DeleteSchemaRequest{Name: first.Name}); err != nil {
		t.Fatal(err)
	}
	s.restart(t, true)
	_, err = c.GetSchema(limited(t), &pb.GetSchemaRequest{Name: first.Name})
	wantStatus(t, err, codes.NotFound, "Resource not found (resource=state).")
}

func TestPublishHoldsMessagesAgainstTheSchema(t *testing.T) {
	t.Parallel()
	s := common(t)
	avro, protobuf := s.createSchema(t, "avro", pb.Schema_AVRO, stateAvro), s.createSchema(t, "proto", pb.Schema_PROTOCOL_BUFFER, stateProto)
	for _, c := range []struct {
		id       string
		schema   *pb.Schema
		encoding pb.Encoding
		good     string
		bad      []string
	}{
		{"avro-json", avro, pb.Encoding_JSON, ohioJSON, []string{ohioMoreJSON, ohioJSON + "1", ohioAvro, `{"name": "Ohio"}`, "x"}},
		{"avro-binary", avro, pb.Encoding_BINARY, ohioAvro, []string{ohioAvro + "\x00", ohioAvro[:7], ohioJSON}},
		{"proto-json", protobuf, pb.Encoding_JSON, ohioJSON, []string{ohioMoreJSON, ohioJSON + "1", ohioProto, "x"}},
		{"proto-binary", protobuf, pb.Encoding_BINARY, ohioProto, []string{ohioProto + "\x18\x01", ohioProto[:8], ohioJSON}},
	} {
		t.Run(c.id, func(t *testing.T) {
			topic, sub := s.schemaTopic(t, c.id, &pb.SchemaSettings{Schema: c.schema.Name, Encoding: c.encoding})
			for _, bad := range append(c.bad, "") {
				wantStatus(t, s.tryPublish(t, topic, c.good, bad, c.good), codes.InvalidArgument, badMessage)
				_, err := s.schemas(t).ValidateMessage(limited(t), &pb.ValidateMessageRequest{Parent: s.parent(), Encoding: c.encoding, Message: []byte(bad),
					SchemaSpec: &pb.ValidateMessageRequest_Name{Name: c.schema.Name}})
				wantStatus(t, err, codes.InvalidArgument, badMessage)
			}
			if err := s.tryPublish(t, topic, c.good, c.good); err != nil {
				t.Fatal(err)
			}
			for _, m := range s.pull(t, sub, 2) {
				want := map[string]string{"own": "x", "googclient_schemaencoding": c.encoding.String(),
					"googclient_schemaname": c.schema.Name, "googclient_schemarevisionid": c.schema.RevisionId}
				if !proto.Equal(&pb.PubsubMessage{Attributes: m.Message.Attributes}, &pb.PubsubMessage{Attributes: want}) || string(m.Message.Data) != c.good {
					t.Errorf("came as %v", m.Message)
				}
			}
		})
	}
}

func TestATopicTakesTheRevisionsOfItsRange(t *testing.T) {
	t.Parallel()
	s := own(t)
	first := s.createSchema(t, "state", pb.Schema_AVRO, stateAvro)
	topic, sub := s.schemaTopic(t, "any", &pb.SchemaSettings{Schema: first.Name, Encoding: pb.Encoding_JSON})
	wantStatus(t, s.tryPublish(t, topic, ohioMoreJSON), codes.InvalidArgument, badMessage)
	second := s.commitSchema(t, first.Name, stateAvroMore)
	for range 2 { // before and after a restart
		if err := s.tryPublish(t, topic, ohioMoreJSON, ohioJSON); err != nil {
			t.Fatal(err)
		}
		received := s.pull(t, sub, 2)
		slices.SortFunc(received, func(a, b *pb.ReceivedMessage) int { return strings.Compare(a.Message.MessageId, b.Message.MessageId) })
		for i, want := range []string{second.RevisionId, first.RevisionId} {
			if got := received[i].Message.Attributes["googclient_schemarevisionid"]; got != want {
				t.Errorf("message %d follows %q, want %q", i, got, want)
			}
		}
		s.ack(t, sub, received...)
		s.restart(t, true)
	}
	update := func(settings *pb.SchemaSettings, paths ...string) error {
		_, err := s.UpdateTopic(limited(t), &pb.UpdateTopicRequest{Topic: &pb.Topic{Name: topic, SchemaSettings: settings}, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}})
		return err
	}
	wantStatus(t, update(&pb.SchemaSettings{LastRevisionId: "00000000"}, "schema_settings.last_revision_id"), codes.NotFound, "Last revision could not be found")
	wantStatus(t, update(&pb.SchemaSettings{FirstRevisionId: second.RevisionId, LastRevisionId: first.RevisionId}, "schema_settings.first_revision_id", "schema_settings.last_revision_id"),
		codes.InvalidArgument, "First revision creation time is after last revision creation time")
	wantStatus(t, update(&pb.SchemaSettings{Schema: s.parent() + "/schemas/none", Encoding: 1}, "schema_settings"), codes.NotFound, "Resource not found (resource=none).")
	if err := update(&pb.SchemaSettings{FirstRevisionId: second.RevisionId}, "schema_settings.first_revision_id"); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s.tryPublish(t, topic, ohioJSON), codes.InvalidArgument, badMessage)
	if err := s.tryPublish(t, topic, ohioMoreJSON); err != nil {
		t.Error(err)
	}
	if _, err := s.schemas(t).DeleteSchemaRevision(limited(t), &pb.DeleteSchemaRevisionRequest{Name: first.Name + "@" + second.RevisionId}); err != nil {
		t.Fatal(err)
	}
	got, err := s.GetTopic(limited(t), &pb.GetTopicRequest{Topic: topic})
	if err != nil || got.SchemaSettings.FirstRevisionId != "_deleted-schema-revision_" || got.SchemaSettings.Schema != first.Name {
		t.Errorf("the topic shows %v, %v", got.GetSchemaSettings(), err)
	}
	wantStatus(t, s.tryPublish(t, topic, ohioJSON), codes.NotFound, "Schema revision associated with topic deleted.")
	if err := update(nil, "schema_settings"); err != nil {
		t.Fatal(err)
	}
	if err := s.tryPublish(t, topic, "anything"); err != nil {
		t.Error(err)
	}
}

func TestATopicShowsThatItsSchemaWasDeleted(t *testing.T) {
	t.Parallel()
	s := own(t)
	schema := s.createSchema(t, "state", pb.Schema_AVRO, stateAvro)
	settings := &pb.SchemaSettings{Schema: schema.Name, Encoding: pb.Encoding_JSON}
	topic, _ := s.schemaTopic(t, "one", settings)
	s.schemaTopic(t, "two", settings)
	if _, err := s.schemas(t).DeleteSchema(limited(t), &pb.DeleteSchemaRequest{Name: schema.Name}); err != nil {
		t.Fatal(err)
	}
	s.createSchema(t, "state", pb.Schema_AVRO, stateAvro) // another schema of the same name
	for range 2 {
		wantStatus(t, s.tryPublish(t, topic, ohioJSON), codes.NotFound, "Schema associated with topic deleted.")
		list, err := s.ListTopics(limited(t), &pb.ListTopicsRequest{Project: s.parent()})
		if err != nil || len(list.Topics) != 2 {
			t.Fatal(list, err)
		}
		for _, got := range list.Topics {
			if got.SchemaSettings.GetSchema() != "_deleted-schema_" || got.SchemaSettings.Encoding != pb.Encoding_JSON {
				t.Errorf("%s shows %v", got.Name, got.SchemaSettings)
			}
		}
		s.restart(t, true)
	}
	_, err := s.CreateTopic(limited(t), &pb.Topic{Name: s.topicName("three"), SchemaSettings: &pb.SchemaSettings{Schema: s.parent() + "/schemas/none", Encoding: 1}})
	wantStatus(t, err, codes.NotFound, "Resource not found (resource=none).")
}

// A refused publish must end at once in Google's client, which repeats what it takes for a passing trouble.
func TestTheClientHearsOfAMessageThatIsNotTaken(t *testing.T) {
	t.Parallel()
	s := common(t)
	schema := s.createSchema(t, "state", pb.Schema_PROTOCOL_BUFFER, stateProto)
	topic, sub := s.schemaTopic(t, "one", &pb.SchemaSettings{Schema: schema.Name, Encoding: pb.Encoding_BINARY})
	client := s.google(t)
	publisher := client.Publisher(topic)
	defer publisher.Stop()
	if _, err := publisher.Publish(limited(t), &pubsub.Message{Data: []byte("{}")}).Get(limited(t)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a bad message: %v", err)
	}
	if _, err := publisher.Publish(limited(t), &pubsub.Message{Data: []byte(ohioProto)}).Get(limited(t)); err != nil {
		t.Errorf("a good message: %v", err)
	}
	r := receive(t, client, sub, pubsub.ReceiveSettings{}, func(m *pubsub.Message) {
		if m.Attributes["googclient_schemaencoding"] != "BINARY" {
			t.Errorf("came with %v", m.Attributes)
		}
		m.Ack()
	})
	r.deliveries(t, 1)
}
