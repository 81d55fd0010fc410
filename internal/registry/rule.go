package registry

import (
	"sync/atomic"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/catalog"
)

// Attributes that say which schema a message follows.
const (
	attributeEncoding = "googclient_schemaencoding"
	attributeName     = "googclient_schemaname"
	attributeRevision = "googclient_schemarevisionid"
)

// rule is what a topic's schema settings ask of its messages. It follows changes of the schema. It is safe for concurrent use.
type rule struct {
	registry *Registry
	settings *pubsubpb.SchemaSettings
	picked   atomic.Pointer[pick]
}

// pick is which revisions a rule allows in one state of a schema.
type pick struct {
	from      *entry
	revisions []*revision // the newest first
	refusal   error       // instead of revisions
}

// NamesOf are the names to hold while a topic is created or updated: its own and that of a schema that it begins to use.
func NamesOf(in *pubsubpb.Topic) []string {
	if schema := in.GetSchemaSettings().GetSchema(); schema != "" {
		return []string{in.GetName(), schema}
	}
	return []string{in.GetName()}
}

// CheckTopic says whether the schema and the revisions are there that a creation (nil mask) or an update of a topic names.
func (r *Registry) CheckTopic(config *pubsubpb.Topic, mask *fieldmaskpb.FieldMask) error {
	if len(catalog.TopicReferences(config, mask)) == 0 {
		return nil
	}
	return r.checkSettings(config.SchemaSettings)
}

// checkSettings says whether the schema and the revisions are there that a topic's settings name.
func (r *Registry) checkSettings(settings *pubsubpb.SchemaSettings) error {
	e, err := r.find(settings.GetSchema())
	if err != nil {
		return err
	}
	first, last := e.revision(settings.FirstRevisionId), e.revision(settings.LastRevisionId)
	switch {
	case first == nil && settings.FirstRevisionId != "":
		return notFound("First revision could not be found")
	case last == nil && settings.LastRevisionId != "":
		return notFound("Last revision could not be found")
	case first != nil && last != nil && first.created.After(last.created):
		return invalid("First revision creation time is after last revision creation time")
	}
	return nil
}

// check holds a message's data against the allowed revisions, the newest first, and gives the id of the one that it follows.
func (r *rule) check(data []byte) (revision string, err error) {
	p := r.pick()
	if p.refusal != nil {
		return "", p.refusal
	}
	var last error
	for _, v := range p.revisions {
		compiled, err := v.schema()
		if err == nil {
			err = compiled.Validate(r.settings.Encoding, data)
		}
		if err == nil {
			return v.id, nil
		}
		last = err
	}
	return "", refusedBy(r.settings.Schema, p.revisions[len(p.revisions)-1], r.settings.Encoding, last)
}

// pick is the one for the schema as it is now.
func (r *rule) pick() *pick {
	e := r.registry.entry(r.settings.Schema)
	if p := r.picked.Load(); p != nil && p.from == e {
		return p
	}
	p := &pick{from: e}
	p.revisions, p.refusal = r.allowed(e)
	r.picked.Store(p)
	return p
}

var (
	errSchemaDeleted   = notFound("Schema associated with topic deleted.")
	errRevisionDeleted = notFound("Schema revision associated with topic deleted.")
)

func (r *rule) allowed(e *entry) ([]*revision, error) {
	if e == nil || r.settings.Schema == catalog.DeletedSchema {
		return nil, errSchemaDeleted
	}
	first, last := e.revision(r.settings.FirstRevisionId), e.revision(r.settings.LastRevisionId)
	if first == nil && r.settings.FirstRevisionId != "" || last == nil && r.settings.LastRevisionId != "" {
		return nil, errRevisionDeleted
	}
	var list []*revision
	for i := len(e.revisions) - 1; i >= 0; i-- {
		v := e.revisions[i]
		if (first == nil || !v.created.Before(first.created)) && (last == nil || !v.created.After(last.created)) {
			list = append(list, v)
		}
	}
	return list, nil
}
