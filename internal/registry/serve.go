package registry

import (
	"context"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/iam"
	"github.com/posthaste-io/posthaste/internal/ledger"
)

// CreateSchema makes a schema with its first revision. ALREADY_EXISTS when its name is taken.
func (r *Registry) CreateSchema(ctx context.Context, in *pubsubpb.CreateSchemaRequest) (*pubsubpb.Schema, error) {
	// The project is locked, too: how many schemas it has must not change between the look and the note.
	defer r.home.Lock(in.GetParent()+collection+in.GetSchemaId(), in.GetParent()+collection)()
	made, d, err := r.planCreate(in, r.now())
	return r.write(ctx, made, d, err)
}

// CommitSchema adds a revision to a schema. INVALID_ARGUMENT when it is not compatible with those that there are.
func (r *Registry) CommitSchema(ctx context.Context, in *pubsubpb.CommitSchemaRequest) (*pubsubpb.Schema, error) {
	defer r.home.Lock(in.GetName())()
	made, d, err := r.planCommit(in, r.now())
	return r.write(ctx, made, d, err)
}

// RollbackSchema adds a copy of an earlier revision to a schema.
func (r *Registry) RollbackSchema(ctx context.Context, in *pubsubpb.RollbackSchemaRequest) (*pubsubpb.Schema, error) {
	defer r.home.Lock(in.GetName())()
	made, d, err := r.planRollback(in, r.now())
	return r.write(ctx, made, d, err)
}

func (r *Registry) now() time.Time { return time.Unix(0, r.home.Wall()) }

func (r *Registry) write(ctx context.Context, made *pubsubpb.Schema, d document, err error) (*pubsubpb.Schema, error) {
	if err == nil {
		err = r.home.Append(ctx, ledger.AppendDocument(nil, Kind, d.name, d.body))
	}
	if err != nil {
		return nil, err
	}
	return made, nil
}

// DeleteSchemaRevision deletes a revision, but not the last one, and gives the latest that is left. Topics whose range it begins or ends
// show that it was deleted, and take no messages until their range is changed.
func (r *Registry) DeleteSchemaRevision(ctx context.Context, name, deprecated string) (*pubsubpb.Schema, error) {
	schema, _, _, err := r.planDeleteRevision(name, deprecated)
	if err != nil {
		return nil, err
	}
	topics, unlock, err := r.lockWithTopics(schema)
	if err != nil {
		return nil, err
	}
	defer unlock()
	schema, id, latest, err := r.planDeleteRevision(name, deprecated)
	if err != nil {
		return nil, err
	}
	notes := [][]byte{ledger.AppendDocumentDeleted(nil, Kind, documentName(schema, id))}
	for _, t := range topics {
		used := false
		for _, bound := range []*string{&t.config.SchemaSettings.FirstRevisionId, &t.config.SchemaSettings.LastRevisionId} {
			if *bound == id {
				*bound, used = catalog.DeletedSchemaRevision, true
			}
		}
		if used {
			notes = append(notes, t.note())
		}
	}
	return latest, r.home.Append(ctx, notes...)
}

// DeleteSchema deletes a schema with all its revisions. Topics that use it show that it was deleted, and take no messages any more.
func (r *Registry) DeleteSchema(ctx context.Context, name string) error {
	topics, unlock, err := r.lockWithTopics(name)
	if err != nil {
		return err
	}
	defer unlock()
	documents, err := r.planDelete(name)
	if err != nil {
		return err
	}
	notes := [][]byte{ledger.AppendDocumentDeleted(nil, iam.DocumentKind, name)}
	for _, d := range documents {
		notes = append(notes, ledger.AppendDocumentDeleted(nil, Kind, d.name))
	}
	for _, t := range topics {
		t.config.SchemaSettings.Schema = catalog.DeletedSchema
		notes = append(notes, t.note())
	}
	return r.home.Append(ctx, notes...)
}

// topic is a topic of the ledger.
type topic struct {
	id     engine.TopicID
	config *pubsubpb.Topic
}

// topicsOf gives the topics whose messages follow the schema, in the order of their names.
func (r *Registry) topicsOf(schema string) (topics []topic, err error) {
	r.home.Topics(func(id engine.TopicID, name string, stored []byte) {
		config, broken := catalog.DecodeTopic(name, stored)
		if broken != nil {
			err = broken
		} else if config.GetSchemaSettings().GetSchema() == schema {
			topics = append(topics, topic{id, config})
		}
	})
	slices.SortFunc(topics, func(a, b topic) int { return strings.Compare(a.config.Name, b.config.Name) })
	return topics, err
}

// note keeps a topic's changed configuration.
func (t *topic) note() []byte {
	return ledger.AppendTopic(nil, t.id, t.config.Name, catalog.EncodeTopic(t.config))
}

// lockWithTopics holds the names of a schema and of the topics that use it: no topic begins or ceases to use it, or changes, meanwhile.
func (r *Registry) lockWithTopics(schema string) (topics []topic, unlock func(), err error) {
	var held []string
	for {
		unlock := r.home.Lock(append(held, schema)...)
		topics, err := r.topicsOf(schema)
		if err != nil {
			unlock()
			return nil, nil, err
		}
		names := make([]string, len(topics))
		for i, t := range topics {
			names[i] = t.config.Name
		}
		if slices.Equal(names, held) {
			return topics, unlock, nil
		}
		unlock()
		held = names
	}
}
