package blackbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// use is what a client may do with a field.
type use int

const (
	mutable use = iota // given at creation, changed by an update
	fixed              // given at creation
	output             // the server's: what a client sends is dropped
)

// fieldRule says what holds for one field of a resource. Values are in the text form of Protocol Buffers, where PROJECT stands for the
// project.
type fieldRule struct {
	use     use
	value   string // a resource with the field set, and what else it needs for that
	shown   string // what it becomes, where that differs: defaults filled in, states set; "-" is nothing
	refused []refusedValue
}

// refusedValue is a resource with a value that is not taken.
type refusedValue struct {
	value string
	code  codes.Code
	text  string // exact; empty where the product's words are not known
}

func bad(value, text string) refusedValue { return refusedValue{value, codes.InvalidArgument, text} }

// resourceKind is how a kind of resource is reached.
type resourceKind[R proto.Message] struct {
	noun    string // Topic
	plural  string // topics
	plain   string // a resource with no more than it needs
	empty   func() R
	create  func(R) (R, error)
	get     func(name string) (R, error)
	update  func(R, *fieldmaskpb.FieldMask) (R, error)
	rules   map[protoreflect.Name]fieldRule
	project string
	server  *server
}

// parse is a resource of the given name with the fields that a text says.
func (k *resourceKind[R]) parse(t *testing.T, name, text string) R {
	t.Helper()
	r := k.empty()
	if err := prototext.Unmarshal([]byte(strings.ReplaceAll(text, "PROJECT", k.project)), r); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	field := k.field("name")
	if r.ProtoReflect().Get(field).String() == "" {
		r.ProtoReflect().Set(field, protoreflect.ValueOfString(name))
	}
	return r
}

func (k *resourceKind[R]) field(name protoreflect.Name) protoreflect.FieldDescriptor {
	return k.empty().ProtoReflect().Descriptor().Fields().ByName(name)
}

func (k *resourceKind[R]) name(id string) string {
	return "projects/" + k.project + "/" + k.plural + "/" + id
}

// check holds every field of the resource against its rule, and returns what there is then, by name.
func (k *resourceKind[R]) check(t *testing.T) map[string]R {
	t.Helper()
	made := make(map[string]R)
	fields := k.empty().ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		rule, is := k.rules[field.Name()]
		if !is {
			t.Errorf("%s.%s has no rule", k.noun, field.Name())
			continue
		}
		t.Run(string(field.Name()), func(t *testing.T) {
			made[k.created(t, field, rule)] = k.empty()
			k.refuses(t, field, rule)
			if name := k.updated(t, field, rule); name != "" {
				made[name] = k.empty()
			}
		})
	}
	for name := range k.rules {
		if k.field(name) == nil {
			t.Errorf("%s has no field %s", k.noun, name)
		}
	}
	for name := range made {
		r, err := k.get(name)
		if err != nil {
			t.Error(err)
		}
		made[name] = r
	}
	return made
}

// same checks a field of got against the resource that a text shows.
func (k *resourceKind[R]) same(t *testing.T, what string, field protoreflect.FieldDescriptor, got R, shown string) {
	t.Helper()
	if shown == "-" {
		if got.ProtoReflect().Has(field) {
			t.Errorf("%s: %s is %v, want none", what, field.Name(), got.ProtoReflect().Get(field))
		}
		return
	}
	want := k.parse(t, got.ProtoReflect().Get(k.field("name")).String(), shown)
	for _, r := range []R{want, got} {
		if !r.ProtoReflect().Has(field) {
			t.Errorf("%s: %s is not set in %v", what, field.Name(), r)
			return
		}
	}
	if !want.ProtoReflect().Get(field).Equal(got.ProtoReflect().Get(field)) {
		t.Errorf("%s: %s is %v, want %v", what, field.Name(), got.ProtoReflect().Get(field), want.ProtoReflect().Get(field))
	}
}

func (rule fieldRule) becomes() string {
	if rule.shown != "" {
		return rule.shown
	}
	return rule.value
}

// created makes a resource with the field: the answer, Get and REST show it alike.
func (k *resourceKind[R]) created(t *testing.T, field protoreflect.FieldDescriptor, rule fieldRule) (name string) {
	t.Helper()
	name = k.name("with-" + string(field.Name()))
	answer, err := k.create(k.parse(t, name, rule.value))
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	name = answer.ProtoReflect().Get(k.field("name")).String()
	k.same(t, "create", field, answer, rule.becomes())
	got, err := k.get(name)
	if err != nil || !proto.Equal(got, answer) {
		t.Errorf("get gives %v, %v\nwant %v", got, err, answer)
	}
	_, text := k.server.rest(t, "GET", "/v1/"+name, "")
	var shown object
	if err := json.Unmarshal([]byte(text), &shown); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if _, is := shown[field.JSONName()]; is != answer.ProtoReflect().Has(field) {
		t.Errorf("REST shows %s: %v, in %s", field.JSONName(), is, text)
	}
	return name
}

// refuses tries the values that are not taken, in a creation and, where it may change, in an update, which leaves all as it was.
func (k *resourceKind[R]) refuses(t *testing.T, field protoreflect.FieldDescriptor, rule fieldRule) {
	t.Helper()
	for _, refused := range rule.refused {
		text := strings.ReplaceAll(refused.text, "PROJECT", k.project)
		_, err := k.create(k.parse(t, k.name("refused"), refused.value))
		wantStatus(t, err, refused.code, text)
		if rule.use != mutable {
			continue
		}
		name := k.name("with-" + string(field.Name()))
		before, err := k.get(name)
		if err != nil {
			t.Fatal(err)
		}
		change := k.parse(t, name, refused.value)
		mask := &fieldmaskpb.FieldMask{Paths: []string{string(field.Name())}}
		change.ProtoReflect().Range(func(other protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			if other != field && k.rules[other.Name()].use == mutable {
				mask.Paths = append(mask.Paths, string(other.Name()))
			}
			return true
		})
		_, err = k.update(change, mask)
		wantStatus(t, err, refused.code, text)
		if after, err := k.get(name); err != nil || !proto.Equal(before, after) {
			t.Errorf("after a refused update %v, %v; before %v", after, err, before)
		}
	}
}

// updated gives a plain resource the field by an update, and takes it away again; or sees that this is refused. It returns the name
// of a resource that was given it and kept it.
func (k *resourceKind[R]) updated(t *testing.T, field protoreflect.FieldDescriptor, rule fieldRule) (name string) {
	t.Helper()
	mask := &fieldmaskpb.FieldMask{Paths: []string{string(field.Name())}}
	name = k.name("plain-" + string(field.Name()))
	plain, err := k.create(k.parse(t, name, k.plain))
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	change := k.parse(t, name, rule.value)
	change.ProtoReflect().Set(k.field("name"), protoreflect.ValueOfString(name))
	answer, err := k.update(change, mask)
	if rule.use != mutable {
		wantStatus(t, err, codes.InvalidArgument, fmt.Sprintf(
			"Invalid update_mask provided in the Update%sRequest: the '%s' field in the %s is not mutable.", k.noun, field.Name(), k.noun))
		return ""
	}
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	k.same(t, "update", field, answer, rule.becomes())
	cleared, err := k.update(k.parse(t, name, ""), mask)
	if err != nil || !proto.Equal(cleared, plain) {
		t.Errorf("cleared, it is %v, %v\nwant %v", cleared, err, plain)
	}
	if _, err := k.update(change, mask); err != nil {
		t.Fatalf("update again: %v", err)
	}
	return name
}
