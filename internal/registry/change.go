package registry

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/schema"
)

// planCreate is the first revision of a new schema, and the document that makes it.
func (r *Registry) planCreate(in *pubsubpb.CreateSchemaRequest, now time.Time) (*pubsubpb.Schema, document, error) {
	name := in.GetParent() + collection + in.GetSchemaId()
	if _, id, err := catalog.ParseSchema(name); err != nil || id != "" {
		return nil, document{}, catalog.BadName(name)
	}
	if _, err := compile(in.GetSchema()); err != nil {
		return nil, document{}, err
	}
	switch {
	case r.Exists(name):
		return nil, document{}, catalog.AlreadyExists(name)
	case r.count(in.Parent) >= limit.SchemasMax:
		return nil, document{}, exhausted("The project has %d schemas, which is the maximum.", limit.SchemasMax)
	}
	return newRevision(name, in.Schema, nil, now)
}

// planCommit is a new revision of a schema, and the document that makes it. It must be compatible with every other revision that there is:
// a topic may take messages that follow any of them.
func (r *Registry) planCommit(in *pubsubpb.CommitSchemaRequest, now time.Time) (*pubsubpb.Schema, document, error) {
	e, err := r.find(in.GetName())
	if err != nil {
		return nil, document{}, err
	}
	if in.GetSchema().GetType() == pubsubpb.Schema_TYPE_UNSPECIFIED {
		return nil, document{}, invalid("Invalid schema type")
	}
	if was := e.latest().show(pubsubpb.SchemaView_BASIC).Type; in.Schema.Type != was {
		return nil, document{}, invalid("Invalid schema type: the schema is of type %v, which a revision cannot change to %v.", was, in.Schema.Type)
	}
	compiled, err := compile(in.Schema)
	if err != nil {
		return nil, document{}, err
	}
	if err := e.room(); err != nil {
		return nil, document{}, err
	}
	for i := len(e.revisions) - 1; i >= 0; i-- {
		earlier, err := e.revisions[i].schema()
		if err != nil {
			continue
		}
		if err := schema.Compatible(earlier, compiled); err != nil {
			return nil, document{}, incompatible(in.Name, e.revisions[i].id, err)
		}
	}
	return newRevision(in.Name, in.Schema, e, now)
}

// planRollback is a copy of an earlier revision as a new one, and the document that makes it.
func (r *Registry) planRollback(in *pubsubpb.RollbackSchemaRequest, now time.Time) (*pubsubpb.Schema, document, error) {
	e, err := r.find(in.GetName())
	if err != nil {
		return nil, document{}, err
	}
	if in.RevisionId == "" {
		return nil, document{}, errMissingRevision
	}
	earlier := e.revision(in.RevisionId)
	if earlier == nil {
		return nil, document{}, notFound("Revision not found")
	}
	if err := e.room(); err != nil {
		return nil, document{}, err
	}
	return newRevision(in.Name, earlier.show(pubsubpb.SchemaView_FULL), e, now)
}

// planDeleteRevision finds the document of a revision that is to be deleted, and says what the latest revision is afterwards. deprecated is the
// revision of the request's field of that kind; the name's own comes first.
func (r *Registry) planDeleteRevision(name, deprecated string) (schema, id string, latest *pubsubpb.Schema, err error) {
	full, id, err := catalog.ParseSchema(name)
	if err != nil {
		return "", "", nil, err
	}
	schema = "projects/" + full.Project + collection + full.ID
	if id == "" {
		id = deprecated
	}
	if id == "" {
		return "", "", nil, errMissingRevision
	}
	e, err := r.find(schema)
	if err != nil {
		return "", "", nil, err
	}
	switch {
	case e.revision(id) == nil:
		return "", "", nil, notFound("Schema revision not found")
	case len(e.revisions) == 1:
		return "", "", nil, invalid("Cannot delete last revision. Please use DeleteSchema.")
	}
	left := e.latest()
	if left.id == id {
		left = e.revisions[len(e.revisions)-2]
	}
	return schema, id, left.show(pubsubpb.SchemaView_FULL), nil
}

// planDelete gives the documents of a schema that is to be deleted.
func (r *Registry) planDelete(name string) ([]document, error) {
	e, err := r.find(name)
	if err != nil {
		return nil, err
	}
	all := make([]document, len(e.revisions))
	for i, v := range e.revisions {
		all[i] = document{name: documentName(name, v.id)}
	}
	return all, nil
}

// documentName is the name of the ledger's document that holds a revision.
func documentName(schema, revision string) string { return schema + "@" + revision }

// compile reads a definition, or refuses it as the service does.
func compile(in *pubsubpb.Schema) (*schema.Schema, error) {
	compiled, err := schema.Compile(in)
	switch {
	case err == nil:
		return compiled, nil
	case errors.Is(err, schema.ErrType):
		return nil, invalid("%v", err)
	default:
		return nil, invalid("Invalid schema definition: Could not parse schema: %s.", quoted(err))
	}
}

func (e *entry) room() error {
	if len(e.revisions) >= limit.SchemaRevisionsMax {
		return invalid("Already at maximum number of schema revisions")
	}
	return nil
}

// newRevision is a new revision of a schema whose revisions so far are e's; nil for none. Times of revisions grow: they are their order.
func newRevision(name string, in *pubsubpb.Schema, e *entry, now time.Time) (*pubsubpb.Schema, document, error) {
	now = now.UTC().Truncate(time.Microsecond)
	if e != nil && !now.After(e.latest().created) {
		now = e.latest().created.Add(time.Microsecond)
	}
	made := &pubsubpb.Schema{
		Name: name, Type: in.Type, Definition: in.Definition, Configuration: in.Configuration,
		RevisionId: newID(e), RevisionCreateTime: timestamppb.New(now),
	}
	return made, document{name: documentName(name, made.RevisionId), body: catalog.Encode(made)}, nil
}

// newID is eight hexadecimal digits that no other revision of the schema has.
func newID(e *entry) string {
	for {
		var random [4]byte
		rand.Read(random[:])
		if id := hex.EncodeToString(random[:]); e == nil || e.revision(id) == nil {
			return id
		}
	}
}
