// Package registry keeps schemas as resources: their revisions, which of them a call shows, what a change to them may be, and which
// revisions a topic's messages are held against. What a definition and a message mean is package schema's.
//
// A revision is a document of the ledger, and the registry is built from nothing but these documents, through [Registry.Load] and
// [Registry.Follow]. What a client changes is first planned, which changes nothing, then written to the ledger, and comes back by these
// two. Every error is a gRPC status.
//
// A Registry is safe for concurrent use.
package registry

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/schema"
)

// Kind is the kind of the ledger's documents that hold revisions. Their names are {schema}@{revision}.
const Kind = "schema"

// document is a document of the ledger to be put or, with no body, to be deleted.
type document struct {
	name string
	body []byte
}

// Home is where the registry's documents and the topics live: the broker.
type Home interface {
	// Lock keeps others from changing what has these names until unlock is called.
	Lock(names ...string) (unlock func())
	// Wall is the time of day in Unix nanoseconds.
	Wall() int64
	// Append makes notes of the ledger durable, all of them or none. When it returns, Follow has been called for each.
	Append(ctx context.Context, notes ...[]byte) error
	// Topics calls f for each topic that is not deleted, with its configuration as the ledger has it.
	Topics(f func(id engine.TopicID, name string, config []byte))
}

// Registry holds the schemas of all projects.
type Registry struct {
	home Home

	mu      sync.RWMutex
	schemas map[string]*entry // by full name
	counts  map[string]int    // of schemas, by projects/{project}
}

// entry is a schema at one moment. It is replaced, never changed: whoever has one may keep it.
type entry struct {
	revisions []*revision // oldest first, at least one
}

// revision is a revision, of which only the verdict on its definition changes, once.
type revision struct {
	id      string
	created time.Time
	stored  []byte // the encoded pubsubpb.Schema; shared with the ledger

	once     sync.Once
	compiled *schema.Schema
	broken   error
}

// New returns an empty registry.
func New(home Home) *Registry {
	return &Registry{home: home, schemas: make(map[string]*entry), counts: make(map[string]int)}
}

// put takes in a document of the ledger, whose body it keeps. Documents of a schema may come in any order.
func (r *Registry) put(document string, body []byte) error {
	stored := new(pubsubpb.Schema)
	if err := proto.Unmarshal(body, stored); err != nil {
		return fmt.Errorf("registry: document %q: %w", document, err)
	}
	name, id, _ := strings.Cut(document, "@")
	added := &revision{id: id, created: stored.GetRevisionCreateTime().AsTime(), stored: body}
	r.mu.Lock()
	defer r.mu.Unlock()
	next := &entry{}
	if before := r.schemas[name]; before != nil {
		next.revisions = slices.Clone(before.revisions)
	} else {
		r.counts[project(name)]++
	}
	at, _ := slices.BinarySearchFunc(next.revisions, added, func(a, b *revision) int { return a.created.Compare(b.created) })
	next.revisions = slices.Insert(next.revisions, at, added)
	r.schemas[name] = next
	return nil
}

// Load takes in the documents of a ledger.
func (r *Registry) Load(l *ledger.Ledger) (err error) {
	l.Documents(Kind, func(name string, body []byte) bool {
		err = r.put(name, body)
		return err == nil
	})
	return err
}

// Follow follows a change of one of the ledger's documents; those of other kinds are none of its business.
func (r *Registry) Follow(l *ledger.Ledger, c *ledger.Change) error {
	if c.Kind != Kind {
		return nil
	}
	body, there := l.Document(Kind, c.Name)
	if there {
		return r.put(c.Name, body)
	}
	r.drop(c.Name)
	return nil
}

// drop follows the deletion of a document of the ledger.
func (r *Registry) drop(document string) {
	name, id, _ := strings.Cut(document, "@")
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.schemas[name]
	if before == nil {
		return
	}
	next := &entry{revisions: slices.DeleteFunc(slices.Clone(before.revisions), func(v *revision) bool { return v.id == id })}
	if len(next.revisions) > 0 {
		r.schemas[name] = next
		return
	}
	delete(r.schemas, name)
	if r.counts[project(name)]--; r.counts[project(name)] == 0 {
		delete(r.counts, project(name))
	}
}

// Exists says whether there is a schema of that full name.
func (r *Registry) Exists(name string) bool { return r.entry(name) != nil }

func (r *Registry) entry(name string) *entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.schemas[name]
}

// find is the schema of that name, which must not name a revision.
func (r *Registry) find(name string) (*entry, error) {
	if _, id, err := catalog.ParseSchema(name); err != nil || id != "" {
		return nil, catalog.BadName(name)
	}
	if e := r.entry(name); e != nil {
		return e, nil
	}
	return nil, catalog.NotFound(name)
}

// Names are the full names of all schemas, in no order.
func (r *Registry) Names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Keys(r.schemas))
}

// names are the full names of a project's schemas, in order.
func (r *Registry) names(parent string) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	names := make([]string, 0, r.counts[parent])
	for name := range maps.Keys(r.schemas) {
		if project(name) == parent {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (r *Registry) count(parent string) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.counts[parent]
}

// project is projects/{project} of a schema's full name.
func project(name string) string {
	at := strings.LastIndex(name, collection)
	return name[:max(at, 0)]
}

// collection stands in a full name between the project and the id.
const collection = "/schemas/"

func (e *entry) latest() *revision { return e.revisions[len(e.revisions)-1] }

// revision is the one with that id, nil when there is none.
func (e *entry) revision(id string) *revision {
	for _, v := range e.revisions {
		if v.id == id {
			return v
		}
	}
	return nil
}

// show is the revision as a client asks for it.
func (v *revision) show(view pubsubpb.SchemaView) *pubsubpb.Schema {
	out := new(pubsubpb.Schema)
	if err := proto.Unmarshal(v.stored, out); err != nil {
		panic("bug: registry: a revision that was read once cannot be read again: " + err.Error())
	}
	if view != pubsubpb.SchemaView_FULL {
		out.Definition, out.Configuration = "", nil
	}
	return out
}

// schema is the compiled definition. An error means that another version of this program took the definition.
func (v *revision) schema() (*schema.Schema, error) {
	v.once.Do(func() { v.compiled, v.broken = schema.Compile(v.show(pubsubpb.SchemaView_FULL)) })
	return v.compiled, v.broken
}
