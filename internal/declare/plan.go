package declare

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/catalog"
)

// Verb is what a step does.
type Verb string

// A conflict is a resource that differs in what no update can change; nothing of it is changed.
const (
	Create    Verb = "create"
	Update    Verb = "update"
	Delete    Verb = "delete"
	Unchanged Verb = "unchanged"
	Conflict  Verb = "conflict"
)

// Step is what becomes of one resource.
type Step struct {
	Verb    Verb
	Kind    string // topic, subscription, schema
	Name    string
	Changes []Change // of an update or a conflict
	// Resource is what to send, as it was declared: with a mask of the changes' paths for an update. nil for a deletion.
	Resource proto.Message
}

// Change is a field that differs.
type Change struct {
	Path       string // in an update mask, snake_case
	JSONName   string // in the file
	Have, Want string // JSON; empty where the field is not set
	Mutable    bool
}

// Mask names the fields of an update.
func (s *Step) Mask() *fieldmaskpb.FieldMask {
	mask := new(fieldmaskpb.FieldMask)
	for _, c := range s.Changes {
		mask.Paths = append(mask.Paths, c.Path)
	}
	return mask
}

// Plan lists, in an order in which a server takes it, what makes it have what is wanted: one step for each wanted resource. have is what
// the server has in the projects of want. With prune, what it has there besides is deleted.
func Plan(want, have *Resources, prune bool) []Step {
	var steps []Step
	steps = append(steps, plan(&schemaKind, want.Schemas, have.Schemas)...)
	steps = append(steps, plan(&topicKind, want.Topics, have.Topics)...)
	steps = append(steps, plan(&subscriptionKind, want.Subscriptions, have.Subscriptions)...)
	if prune {
		steps = append(steps, surplus(&subscriptionKind, want.Subscriptions, have.Subscriptions)...)
		steps = append(steps, surplus(&topicKind, want.Topics, have.Topics)...)
		steps = append(steps, surplus(&schemaKind, want.Schemas, have.Schemas)...)
	}
	return steps
}

// Absent leaves of the wanted resources those whose name the server has not: for sources that say no more than names.
func Absent(want, have *Resources) *Resources {
	return &Resources{
		Schemas:       absent(want.Schemas, have.Schemas),
		Topics:        absent(want.Topics, have.Topics),
		Subscriptions: absent(want.Subscriptions, have.Subscriptions),
	}
}

func absent[R resource](want, have []R) []R {
	there := byName(have)
	var missing []R
	for _, r := range want {
		if _, is := there[r.GetName()]; !is {
			missing = append(missing, r)
		}
	}
	return missing
}

func byName[R resource](all []R) map[string]R {
	index := make(map[string]R, len(all))
	for _, r := range all {
		index[r.GetName()] = r
	}
	return index
}

func plan[R resource](k *kind[R], want, have []R) []Step {
	there := byName(have)
	var steps []Step
	for _, r := range want {
		step := Step{Verb: Create, Kind: k.noun, Name: r.GetName(), Resource: r}
		if current, is := there[r.GetName()]; is {
			step.Verb, step.Changes = k.compare(r, current)
		}
		steps = append(steps, step)
	}
	return steps
}

func surplus[R resource](k *kind[R], want, have []R) []Step {
	var steps []Step
	for _, r := range absent(have, want) {
		steps = append(steps, Step{Verb: Delete, Kind: k.noun, Name: r.GetName()})
	}
	return steps
}

// compare finds the fields in which what is there differs from what is wanted, and what that comes to.
func (k *kind[R]) compare(want, current R) (Verb, []Change) {
	wanted, have := k.settled(want), k.settled(current)
	verb := Unchanged
	var changes []Change
	for _, f := range k.fields {
		if sameField(wanted, have, f.Name) || f.Mutable && k.carried(f, have, want) {
			continue
		}
		fd := fieldOf(want, f.Name)
		changes = append(changes, Change{Path: f.Name, JSONName: fd.JSONName(), Mutable: f.Mutable, Have: fieldText(have, f.Name), Want: fieldText(wanted, f.Name)})
		if !f.Mutable {
			verb = Conflict
		} else if verb == Unchanged {
			verb = Update
		}
	}
	return verb, changes
}

// settled is a resource with its defaults; one that today's rules would refuse, such as a subscription whose topic was deleted, as it is.
func (k *kind[R]) settled(r R) R {
	if settled, err := k.settle(r); err == nil {
		return settled
	}
	return r
}

// carried reports whether an update that names the field would leave it as it is: some of a field outlives its replacement.
func (k *kind[R]) carried(f catalog.Field, have, want R) bool {
	next, err := k.update(have, want, &fieldmaskpb.FieldMask{Paths: []string{f.Name}})
	return err == nil && sameField(next, have, f.Name)
}

func sameField(a, b proto.Message, name string) bool {
	fd := fieldOf(a, name)
	left, right := a.ProtoReflect(), b.ProtoReflect()
	return left.Has(fd) == right.Has(fd) && left.Get(fd).Equal(right.Get(fd))
}

// fieldText is the JSON of one field.
func fieldText(m proto.Message, name string) string {
	fd := fieldOf(m, name)
	if !m.ProtoReflect().Has(fd) {
		return ""
	}
	alone := m.ProtoReflect().New()
	alone.Set(fd, m.ProtoReflect().Get(fd))
	loose, err := protojson.Marshal(alone.Interface())
	if err != nil {
		panic("bug: declare: a resource that JSON cannot hold: " + err.Error())
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(loose, &parts); err != nil {
		panic("bug: declare: JSON of a resource: " + err.Error())
	}
	var text bytes.Buffer
	if err := json.Compact(&text, parts[fd.JSONName()]); err != nil {
		panic("bug: declare: JSON of a field: " + err.Error())
	}
	return text.String()
}
