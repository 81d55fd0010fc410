package registry

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/limit"
)

const (
	parent = "projects/p"
	name   = "projects/p/schemas/order"
	one    = `{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}`
	two    = `{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}, {"name": "note", "type": "string", "default": ""}]}`
	other  = `{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}`
)

func avro(definition string) *pubsubpb.Schema {
	return &pubsubpb.Schema{Type: pubsubpb.Schema_AVRO, Definition: definition}
}

// shelf is a registry whose documents are written as they are asked for.
type shelf struct {
	t *testing.T
	*Registry
	documents map[string][]byte
	now       time.Time
}

func newShelf(t *testing.T) *shelf {
	return &shelf{t: t, Registry: New(nil), documents: make(map[string][]byte), now: time.Unix(1e9, 999)}
}

func (s *shelf) write(made *pubsubpb.Schema, d document, err error) *pubsubpb.Schema {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	s.documents[d.name] = d.body
	if err := s.put(d.name, d.body); err != nil {
		s.t.Fatal(err)
	}
	return made
}

func (s *shelf) remove(document string) {
	delete(s.documents, document)
	s.Registry.drop(document)
}

func (s *shelf) create(id, definition string) *pubsubpb.Schema {
	s.t.Helper()
	return s.write(s.planCreate(&pubsubpb.CreateSchemaRequest{Parent: parent, SchemaId: id, Schema: avro(definition)}, s.now))
}

func (s *shelf) commit(definition string) *pubsubpb.Schema {
	s.t.Helper()
	return s.write(s.planCommit(&pubsubpb.CommitSchemaRequest{Name: name, Schema: avro(definition)}, s.now))
}

func (s *shelf) revisionIDs() (ids []string) {
	s.t.Helper()
	page, _, err := s.Revisions(name, 0, 0, "")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, v := range page {
		ids = append(ids, v.RevisionId)
	}
	return ids
}

func wantStatus(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if got := status.Convert(err); got.Code() != code || got.Message() != text {
		t.Errorf("answered %v\n   want %v: %s", err, code, text)
	}
}

func TestRevisionsAreInTheOrderOfTheirCreation(t *testing.T) {
	s := newShelf(t)
	first := s.create("order", one)
	if first.Name != name || len(first.RevisionId) != 8 || first.Definition != one || first.Type != pubsubpb.Schema_AVRO {
		t.Errorf("created %v", first)
	}
	second := s.commit(two) // at the same moment by the clock
	third := s.write(s.planRollback(&pubsubpb.RollbackSchemaRequest{Name: name, RevisionId: first.RevisionId}, s.now.Add(-time.Hour)))
	if third.Definition != one || third.RevisionId == first.RevisionId {
		t.Errorf("rolled back to %v", third)
	}
	if want := []string{third.RevisionId, second.RevisionId, first.RevisionId}; !slices.Equal(s.revisionIDs(), want) {
		t.Errorf("revisions %q, want %q", s.revisionIDs(), want)
	}
	if !first.RevisionCreateTime.AsTime().Equal(s.now.UTC().Truncate(time.Microsecond)) ||
		!third.RevisionCreateTime.AsTime().After(second.RevisionCreateTime.AsTime()) || !second.RevisionCreateTime.AsTime().After(first.RevisionCreateTime.AsTime()) {
		t.Errorf("times %v, %v, %v", first.RevisionCreateTime.AsTime(), second.RevisionCreateTime.AsTime(), third.RevisionCreateTime.AsTime())
	}
	for asked, want := range map[string]*pubsubpb.Schema{name: third, name + "@" + second.RevisionId: second} {
		if got, err := s.Get(asked, 0); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s is %v, %v; want %v", asked, got, err, want)
		}
	}
}

func TestViews(t *testing.T) {
	s := newShelf(t)
	s.create("order", one)
	definition := func(list []*pubsubpb.Schema, _ string, err error) string {
		t.Helper()
		if err != nil || len(list) != 1 || list[0].Name != name || list[0].Type != pubsubpb.Schema_AVRO {
			t.Fatal(list, err)
		}
		return list[0].Definition
	}
	get := func(view pubsubpb.SchemaView) string {
		got, err := s.Get(name, view)
		return definition([]*pubsubpb.Schema{got}, "", err)
	}
	for view, want := range map[pubsubpb.SchemaView][3]string{0: {one, "", ""}, pubsubpb.SchemaView_BASIC: {"", "", ""}, pubsubpb.SchemaView_FULL: {one, one, one}} {
		got := [3]string{get(view), definition(s.List(parent, view, 0, "")), definition(s.Revisions(name, view, 0, ""))}
		if got != want {
			t.Errorf("view %v: %q, want %q", view, got, want)
		}
	}
}

func TestPages(t *testing.T) {
	s := newShelf(t)
	s.create("order", one)
	var want []string
	for i := range 5 {
		s.create(fmt.Sprintf("xx%d", i), one)
		s.commit(two)
		want = append(want, fmt.Sprintf("projects/p/schemas/xx%d", i))
	}
	if _, _, err := s.planCreate(&pubsubpb.CreateSchemaRequest{Parent: "projects/p2", SchemaId: "order", Schema: avro(one)}, s.now); err != nil {
		t.Fatal(err)
	}
	walk := func(page func(token string) ([]*pubsubpb.Schema, string, error)) (all []*pubsubpb.Schema) {
		t.Helper()
		for token, first := "", true; first || token != ""; first = false {
			list, next, err := page(token)
			if err != nil || len(list) > 2 {
				t.Fatal(list, err)
			}
			all, token = append(all, list...), next
		}
		return all
	}
	all := walk(func(token string) ([]*pubsubpb.Schema, string, error) { return s.List(parent, 0, 2, token) })
	if len(all) != 6 || all[0].Name != name || all[5].Name != want[4] {
		t.Errorf("schemas %v", all)
	}
	revisions := walk(func(token string) ([]*pubsubpb.Schema, string, error) { return s.Revisions(name, 0, 2, token) })
	if len(revisions) != 6 || !slices.IsSortedFunc(revisions, func(a, b *pubsubpb.Schema) int {
		return b.RevisionCreateTime.AsTime().Compare(a.RevisionCreateTime.AsTime())
	}) {
		t.Errorf("revisions %v", revisions)
	}
	_, _, err := s.Revisions(name, 0, 0, "nonsense")
	wantStatus(t, err, codes.InvalidArgument, "You have passed an invalid argument to the service (argument=page_token).")
}

func TestRefusals(t *testing.T) {
	s := newShelf(t)
	first := s.create("order", one)
	create := func(parent, id string, schema *pubsubpb.Schema) error {
		_, _, err := s.planCreate(&pubsubpb.CreateSchemaRequest{Parent: parent, SchemaId: id, Schema: schema}, s.now)
		return err
	}
	commit := func(name string, schema *pubsubpb.Schema) error {
		_, _, err := s.planCommit(&pubsubpb.CommitSchemaRequest{Name: name, Schema: schema}, s.now)
		return err
	}
	rollback := func(id string) error {
		_, _, err := s.planRollback(&pubsubpb.RollbackSchemaRequest{Name: name, RevisionId: id}, s.now)
		return err
	}
	deleteRevision := func(name, id string) error { _, _, _, err := s.planDeleteRevision(name, id); return err }
	get := func(name string) error { _, err := s.Get(name, 0); return err }
	bad := func(name string) string {
		return "Invalid resource name given (name=" + name + "). Refer to https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information."
	}
	const absent = "Resource not found (resource=none)."
	for _, c := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{create(parent, "", avro(one)), codes.InvalidArgument, bad(parent + "/schemas/")},
		{create("p", "order", avro(one)), codes.InvalidArgument, bad("p/schemas/order")},
		{create(parent, "order@12345678", avro(one)), codes.InvalidArgument, bad(name + "@12345678")},
		{create(parent, "order", avro(one)), codes.AlreadyExists, "Resource already exists in the project (resource=order)."},
		{create(parent, "new", nil), codes.InvalidArgument, "Invalid schema type"},
		{create(parent, "new", avro("{}")), codes.InvalidArgument,
			`Invalid schema definition: Could not parse schema: an object that describes a type lacks its type.`},
		{commit(name+"@"+first.RevisionId, avro(one)), codes.InvalidArgument, bad(name + "@" + first.RevisionId)},
		{commit(parent+"/schemas/none", avro(one)), codes.NotFound, absent},
		{commit(name, nil), codes.InvalidArgument, "Invalid schema type"},
		{commit(name, &pubsubpb.Schema{Type: pubsubpb.Schema_PROTOCOL_BUFFER, Definition: "message M {}"}), codes.InvalidArgument,
			"Invalid schema type: the schema is of type AVRO, which a revision cannot change to PROTOCOL_BUFFER."},
		{commit(name, avro(other)), codes.InvalidArgument, `Compatibility checking failed to commit a schema revision for (schema="projects/p/schemas/order"). ` +
			`(reason="Revision is incompatible with previous revision: ` + first.RevisionId + `. Failed with error: the new revision cannot read messages of the ` +
			`previous one: field "id": type string is not compatible with type long"). Refer to https://cloud.google.com/pubsub/docs/schemas for more information.`},
		{rollback(""), codes.InvalidArgument, "Missing revision ID"},
		{rollback("00000000"), codes.NotFound, "Revision not found"},
		{deleteRevision(name, ""), codes.InvalidArgument, "Missing revision ID"},
		{deleteRevision(name+"@zz", ""), codes.InvalidArgument, bad(name + "@zz")},
		{deleteRevision(name, "zz"), codes.NotFound, "Schema revision not found"},
		{deleteRevision(parent+"/schemas/none@00000000", ""), codes.NotFound, absent},
		{deleteRevision(name, first.RevisionId), codes.InvalidArgument, "Cannot delete last revision. Please use DeleteSchema."},
		{get(name + "@00000000"), codes.NotFound, "Schema revision not found"},
		{get(parent + "/schemas/none"), codes.NotFound, absent},
		{get("order"), codes.InvalidArgument, bad("order")},
		{s.ValidateSchema(&pubsubpb.ValidateSchemaRequest{Parent: "p", Schema: avro(one)}), codes.InvalidArgument, bad("p")},
		{s.ValidateSchema(&pubsubpb.ValidateSchemaRequest{Parent: parent}), codes.InvalidArgument, "Invalid schema type"},
		{s.ValidateMessage(&pubsubpb.ValidateMessageRequest{Parent: parent}), codes.InvalidArgument, "No encoding provided."},
		{s.ValidateMessage(&pubsubpb.ValidateMessageRequest{Parent: parent, Encoding: 1}), codes.InvalidArgument,
			"No schema provided: either name or schema must be set."},
	} {
		wantStatus(t, c.err, c.code, c.text)
	}
	if err := s.ValidateSchema(&pubsubpb.ValidateSchemaRequest{Parent: parent, Schema: avro(one)}); err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	s := newShelf(t)
	s.create("order", one)
	for range limit.SchemaRevisionsMax - 1 {
		s.commit(one)
	}
	_, _, err := s.planCommit(&pubsubpb.CommitSchemaRequest{Name: name, Schema: avro(one)}, s.now)
	wantStatus(t, err, codes.InvalidArgument, "Already at maximum number of schema revisions")
	ids := s.revisionIDs()
	_, _, err = s.planRollback(&pubsubpb.RollbackSchemaRequest{Name: name, RevisionId: ids[0]}, s.now)
	wantStatus(t, err, codes.InvalidArgument, "Already at maximum number of schema revisions")
	_, id, latest, err := s.planDeleteRevision(name+"@"+ids[0], "")
	if err != nil || id != ids[0] || latest.RevisionId != ids[1] {
		t.Errorf("deleted %q of %q, latest %v, %v", id, ids, latest, err)
	}
	s.remove(documentName(name, id))
	s.commit(one)
	for i := range limit.SchemasMax - 1 {
		s.create(fmt.Sprintf("xx%d", i), one)
	}
	_, _, err = s.planCreate(&pubsubpb.CreateSchemaRequest{Parent: parent, SchemaId: "more", Schema: avro(one)}, s.now)
	wantStatus(t, err, codes.ResourceExhausted, "The project has 10000 schemas, which is the maximum.")
}

func TestARevisionMustAgreeWithAllOthers(t *testing.T) {
	s := newShelf(t)
	oldest := s.create("order", two)
	s.commit(one)
	// Compatible with the latest, but not with the one before, which has the field with another type.
	clash := strings.Replace(two, `"string", "default": ""`, `"int", "default": 0`, 1)
	_, _, err := s.planCommit(&pubsubpb.CommitSchemaRequest{Name: name, Schema: avro(clash)}, s.now)
	if !strings.Contains(status.Convert(err).Message(), "incompatible with previous revision: "+oldest.RevisionId+".") {
		t.Error(err)
	}
}

func TestValidateMessageTellsTheReasonInItsDetails(t *testing.T) {
	s := newShelf(t)
	first := s.create("order", one)
	s.commit(two)
	by := func(name string, message string) error {
		return s.ValidateMessage(&pubsubpb.ValidateMessageRequest{Parent: parent, Encoding: pubsubpb.Encoding_JSON, Message: []byte(message),
			SchemaSpec: &pubsubpb.ValidateMessageRequest_Name{Name: name}})
	}
	held := func(schema *pubsubpb.Schema, message string) error {
		return s.ValidateMessage(&pubsubpb.ValidateMessageRequest{Parent: parent, Encoding: pubsubpb.Encoding_BINARY, Message: []byte(message),
			SchemaSpec: &pubsubpb.ValidateMessageRequest_Schema{Schema: schema}})
	}
	for _, good := range []error{by(name, `{"id": 1, "note": ""}`), by(name+"@"+first.RevisionId, `{"id": 1}`), held(avro(one), "\x02")} {
		if good != nil {
			t.Error(good)
		}
	}
	const text = "Invalid data in message: Message failed schema validation."
	err := by(name, `{"id": 1}`)
	wantStatus(t, err, codes.InvalidArgument, text)
	info := status.Convert(err).Details()[0].(*errdetails.ErrorInfo)
	if info.Reason != "INVALID_JSON_AVRO_MESSAGE" || info.Domain != "pubsub.googleapis.com" ||
		!strings.Contains(info.Metadata["revisionInfo"], `failed with status: at byte 9: the record "Order" lacks its field "note".`) {
		t.Errorf("details %v", info)
	}
	err = held(avro(one), "\x02\x02")
	wantStatus(t, err, codes.InvalidArgument, text)
	if info := status.Convert(err).Details()[0].(*errdetails.ErrorInfo); info.Reason != "INVALID_BINARY_AVRO_MESSAGE" {
		t.Errorf("details %v", info)
	}
	err = held(&pubsubpb.Schema{Type: pubsubpb.Schema_PROTOCOL_BUFFER, Definition: "message M {}"}, "\x02\x02")
	if info := status.Convert(err).Details()[0].(*errdetails.ErrorInfo); info.Reason != "INVALID_BINARY_PROTO_MESSAGE" {
		t.Errorf("details %v", info)
	}
}

func TestRulesFollowTheSchema(t *testing.T) {
	s := newShelf(t)
	first := s.create("order", one)
	settings := func(from, to string) *pubsubpb.SchemaSettings {
		return &pubsubpb.SchemaSettings{Schema: name, Encoding: pubsubpb.Encoding_JSON, FirstRevisionId: from, LastRevisionId: to}
	}
	check := func(r *rule, message, revision string) {
		t.Helper()
		got, err := r.check([]byte(message))
		if got != revision || (err == nil) != (revision != "") {
			t.Errorf("%s follows %q, %v; want %q", message, got, err, revision)
		}
	}
	all := s.Gate(settings("", "")).rule
	check(all, `{"id": 1}`, first.RevisionId)
	check(all, `{"id": 1, "note": "x"}`, "")
	check(all, ``, "")
	second := s.commit(two)
	check(all, `{"id": 1, "note": "x"}`, second.RevisionId)
	check(all, `{"id": 1}`, first.RevisionId)
	upTo, from := s.Gate(settings("", first.RevisionId)).rule, s.Gate(settings(second.RevisionId, "")).rule
	check(upTo, `{"id": 1, "note": "x"}`, "")
	check(upTo, `{"id": 1}`, first.RevisionId)
	check(from, `{"id": 1}`, "")
	check(from, `{"id": 1, "note": "x"}`, second.RevisionId)
	s.remove(documentName(name, first.RevisionId))
	check(all, `{"id": 1}`, "")
	_, err := upTo.check([]byte(`{"id": 1}`))
	wantStatus(t, err, codes.NotFound, "Schema revision associated with topic deleted.")
	s.remove(documentName(name, second.RevisionId))
	_, err = all.check([]byte(`{"id": 1, "note": "x"}`))
	wantStatus(t, err, codes.NotFound, "Schema associated with topic deleted.")
	if s.Exists(name) {
		t.Error("a schema without revisions exists")
	}
}

func TestSettings(t *testing.T) {
	s := newShelf(t)
	first := s.create("order", one)
	second := s.commit(two)
	for _, c := range []struct {
		schema, from, to string
		code             codes.Code
		text             string
	}{
		{name, "", "", codes.OK, ""},
		{name, first.RevisionId, second.RevisionId, codes.OK, ""},
		{name, first.RevisionId, first.RevisionId, codes.OK, ""},
		{name, second.RevisionId, first.RevisionId, codes.InvalidArgument, "First revision creation time is after last revision creation time"},
		{name, "00000000", "", codes.NotFound, "First revision could not be found"},
		{name, catalog.DeletedSchemaRevision, "", codes.NotFound, "First revision could not be found"},
		{name, "", "00000000", codes.NotFound, "Last revision could not be found"},
		{parent + "/schemas/none", "", "", codes.NotFound, "Resource not found (resource=none)."},
	} {
		wantStatus(t, s.checkSettings(&pubsubpb.SchemaSettings{Schema: c.schema, FirstRevisionId: c.from, LastRevisionId: c.to}), c.code, c.text)
	}
}

// Documents come in no order when the ledger is read, and in the order of the log while it runs: both must give the same registry.
func TestTheOrderOfDocumentsDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		s := newShelf(t)
		s.create("order", one)
		for range random.IntN(40) {
			switch ids := s.revisionIDs(); {
			case len(ids) < limit.SchemaRevisionsMax && random.IntN(3) > 0:
				s.commit(two)
			case len(ids) > 1:
				s.remove(documentName(name, ids[random.IntN(len(ids))]))
			}
		}
		again := &shelf{t: t, Registry: New(nil)}
		for document, body := range s.documents { // in Go's own disorder
			if err := again.put(document, body); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(again.revisionIDs(), s.revisionIDs()) {
			t.Fatalf("revisions %q, want %q", again.revisionIDs(), s.revisionIDs())
		}
	}
}
