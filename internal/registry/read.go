package registry

import (
	"fmt"
	"math"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/internal/catalog"
)

// Get gives the latest revision of a schema, or the one that the name names. Unless the view says otherwise, it has its definition.
func (r *Registry) Get(name string, view pubsubpb.SchemaView) (*pubsubpb.Schema, error) {
	v, err := r.named(name)
	if err != nil {
		return nil, err
	}
	if view == pubsubpb.SchemaView_SCHEMA_VIEW_UNSPECIFIED {
		view = pubsubpb.SchemaView_FULL
	}
	return v.show(view), nil
}

// named is the revision that a name stands for: {schema}@{revision}, or {schema} for its latest.
func (r *Registry) named(name string) (*revision, error) {
	full, id, err := catalog.ParseSchema(name)
	if err != nil {
		return nil, err
	}
	e := r.entry("projects/" + full.Project + collection + full.ID)
	switch {
	case e == nil:
		return nil, catalog.NotFound(name)
	case id == "":
		return e.latest(), nil
	}
	if v := e.revision(id); v != nil {
		return v, nil
	}
	return nil, notFound("Schema revision not found")
}

// List gives a page of a project's schemas, each by its latest revision, in the order of their names. Unless the view says otherwise, they
// come without definitions.
func (r *Registry) List(parent string, view pubsubpb.SchemaView, size int32, token string) (page []*pubsubpb.Schema, next string, err error) {
	if _, err := catalog.ParseProject(parent); err != nil {
		return nil, "", err
	}
	names, next, err := catalog.Page(r.names(parent), size, token)
	if err != nil {
		return nil, "", err
	}
	for _, name := range names {
		if e := r.entry(name); e != nil { // it may have been deleted meanwhile
			page = append(page, e.latest().show(view))
		}
	}
	return page, next, nil
}

// Revisions gives a page of a schema's revisions, the newest first. Unless the view says otherwise, they come without definitions.
func (r *Registry) Revisions(name string, view pubsubpb.SchemaView, size int32, token string) (page []*pubsubpb.Schema, next string, err error) {
	e, err := r.find(name)
	if err != nil {
		return nil, "", err
	}
	keys, byKey := make([]string, 0, len(e.revisions)), make(map[string]*revision, len(e.revisions))
	for i := len(e.revisions) - 1; i >= 0; i-- {
		v := e.revisions[i]
		key := fmt.Sprintf("%019d@%s", math.MaxInt64-v.created.UnixNano(), v.id) // sorts the newest first
		keys, byKey[key] = append(keys, key), v
	}
	keys, next, err = catalog.Page(keys, size, token)
	for _, key := range keys {
		page = append(page, byKey[key].show(view))
	}
	return page, next, err
}

// ValidateSchema says what is wrong with a definition; nil when nothing is.
func (r *Registry) ValidateSchema(in *pubsubpb.ValidateSchemaRequest) error {
	if _, err := catalog.ParseProject(in.GetParent()); err != nil {
		return err
	}
	_, err := compile(in.GetSchema())
	return err
}

// ValidateMessage says what keeps a message from following the schema that the request names or holds; nil when nothing does.
func (r *Registry) ValidateMessage(in *pubsubpb.ValidateMessageRequest) error {
	if _, err := catalog.ParseProject(in.GetParent()); err != nil {
		return err
	}
	if in.Encoding != pubsubpb.Encoding_JSON && in.Encoding != pubsubpb.Encoding_BINARY {
		return invalid("No encoding provided.")
	}
	switch in.SchemaSpec.(type) {
	case *pubsubpb.ValidateMessageRequest_Name:
		v, err := r.named(in.GetName())
		if err != nil {
			return err
		}
		compiled, err := v.schema()
		if err == nil {
			err = compiled.Validate(in.Encoding, in.Message)
		}
		if err != nil {
			return refusedBy(in.GetName(), v, in.Encoding, err)
		}
		return nil
	case *pubsubpb.ValidateMessageRequest_Schema:
		compiled, err := compile(in.GetSchema())
		if err != nil {
			return err
		}
		if err := compiled.Validate(in.Encoding, in.Message); err != nil {
			return refused(in.GetSchema().Type, in.Encoding, quoted(err))
		}
		return nil
	default:
		return invalid("No schema provided: either name or schema must be set.")
	}
}
