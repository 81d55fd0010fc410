// Package declare holds topics, subscriptions and schemas as people write them down: in a YAML file or in the environment variables of
// emulator images. It reads and writes the file, and plans what makes a server agree with it. It is pure: it calls no server and opens no file.
//
// A resource of the file is a complete statement, in the field names of the REST API: a field that it leaves out has its default. What
// differs is found by comparing what creation would give with what is there, both with their defaults filled in, by the rules of package
// catalog; so a file converges after one application, also on a server that does not show its defaults.
package declare

import (
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/catalog"
)

// Resources are declared resources, or those that a server has. All names are full.
type Resources struct {
	Schemas       []*pubsubpb.Schema
	Topics        []*pubsubpb.Topic
	Subscriptions []*pubsubpb.Subscription
	// projects are those that the file names apart from any resource.
	projects []string
}

// Projects lists the projects that resources belong to, or that the file names, without "projects/", each once.
func (r *Resources) Projects() []string {
	var all []string
	seen := make(map[string]bool)
	add := func(project string) {
		if project != "" && !seen[project] {
			seen[project] = true
			all = append(all, project)
		}
	}
	for _, project := range r.projects {
		add(project)
	}
	r.names(func(name string) {
		project, _, _ := strings.Cut(strings.TrimPrefix(name, "projects/"), "/")
		add(project)
	})
	return all
}

func (r *Resources) names(visit func(string)) {
	for _, s := range r.Schemas {
		visit(s.Name)
	}
	for _, t := range r.Topics {
		visit(t.Name)
	}
	for _, s := range r.Subscriptions {
		visit(s.Name)
	}
}

// resource is one of the three messages.
type resource interface {
	proto.Message
	GetName() string
}

// kind is what the package must know of a kind of resource.
type kind[R resource] struct {
	noun       string // topic
	collection string // topics
	fields     []catalog.Field
	// settle gives what creation would: checked, defaults filled in.
	settle func(R) (R, error)
	// update gives what an update of the fields in the mask would.
	update func(current, in R, mask *fieldmaskpb.FieldMask) (R, error)
	// references are the fields that name other resources, to which short names belong as well.
	references func(r R, full func(collection, name string) string)
}

var topicKind = kind[*pubsubpb.Topic]{
	noun: "topic", collection: "topics", fields: catalog.TopicFields(), settle: catalog.NewTopic, update: catalog.UpdateTopic,
	references: func(t *pubsubpb.Topic, full func(collection, name string) string) {
		t.Name = full("topics", t.Name)
		if settings := t.SchemaSettings; settings != nil {
			settings.Schema = full("schemas", settings.Schema)
		}
	},
}

var subscriptionKind = kind[*pubsubpb.Subscription]{
	noun: "subscription", collection: "subscriptions", fields: catalog.SubscriptionFields(), update: catalog.UpdateSubscription,
	settle: func(s *pubsubpb.Subscription) (*pubsubpb.Subscription, error) {
		return catalog.NewSubscription(s, new(pubsubpb.Topic)) // whether the topic exists is the server's to say
	},
	references: func(s *pubsubpb.Subscription, full func(collection, name string) string) {
		s.Name, s.Topic = full("subscriptions", s.Name), full("topics", s.Topic)
		if policy := s.DeadLetterPolicy; policy != nil {
			policy.DeadLetterTopic = full("topics", policy.DeadLetterTopic)
		}
	},
}

// A schema is compared by its newest revision; a new definition is committed as a further one.
var schemaKind = kind[*pubsubpb.Schema]{
	noun: "schema", collection: "schemas",
	fields: []catalog.Field{{Name: "name"}, {Name: "type"}, {Name: "definition", Mutable: true}, {Name: "compiled_proto_schema", Mutable: true}},
	settle: settleSchema,
	update: func(_, in *pubsubpb.Schema, _ *fieldmaskpb.FieldMask) (*pubsubpb.Schema, error) { return in, nil },
	references: func(s *pubsubpb.Schema, full func(collection, name string) string) {
		s.Name = full("schemas", s.Name)
	},
}

// settleSchema checks what is known without reading the definition, which is the server's to judge.
func settleSchema(s *pubsubpb.Schema) (*pubsubpb.Schema, error) {
	if _, revision, err := catalog.ParseSchema(s.Name); err != nil || revision != "" {
		return nil, catalog.BadName(s.Name)
	}
	settled := proto.Clone(s).(*pubsubpb.Schema)
	settled.RevisionId, settled.RevisionCreateTime = "", nil
	return settled, nil
}

// configurable reports whether a file may set the field.
func (k *kind[R]) configurable(fd protoreflect.FieldDescriptor) bool {
	for _, f := range k.fields {
		if f.Name == string(fd.Name()) {
			return true
		}
	}
	return false
}

// fieldOf is the descriptor of a field of the kind's message.
func fieldOf(m proto.Message, name string) protoreflect.FieldDescriptor {
	return m.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name))
}
