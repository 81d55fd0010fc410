package rest

import (
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// plan is a message type, prepared for reading JSON: its fields by every name that a client may use for them.
type plan struct {
	name   protoreflect.FullName
	fields map[string]*field
	// special is set for well-known types whose JSON is not an object of their fields.
	special bool
}

// field is one field of a plan.
type field struct {
	descriptor protoreflect.FieldDescriptor
	name       string // as in the definition, for error texts
	index      int    // among the message's fields
	oneof      int    // among the message's oneofs; -1 for none
	number     protowire.Number
	kind       protoreflect.Kind
	list       bool
	presence   bool  // a zero value says something
	message    *plan // of a message or a map entry
	key, value *field
}

// plans makes each plan once; message types may contain themselves. It is safe for concurrent use.
type plans struct {
	mu   sync.Mutex
	made map[protoreflect.FullName]*plan
}

func (p *plans) of(m protoreflect.MessageDescriptor) *plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made == nil {
		p.made = make(map[protoreflect.FullName]*plan)
	}
	return p.make(m)
}

func (p *plans) make(m protoreflect.MessageDescriptor) *plan {
	if done := p.made[m.FullName()]; done != nil {
		return done
	}
	made := &plan{name: m.FullName(), fields: make(map[string]*field), special: isSpecial(m)}
	p.made[m.FullName()] = made
	if made.special {
		return made
	}
	all := m.Fields()
	for i := range all.Len() {
		f := p.field(all.Get(i))
		made.fields[string(f.descriptor.Name())] = f
	}
	for i := range all.Len() { // where the two kinds of names collide, JSON's win
		made.fields[all.Get(i).JSONName()] = made.fields[string(all.Get(i).Name())]
	}
	return made
}

func (p *plans) field(d protoreflect.FieldDescriptor) *field {
	f := &field{
		descriptor: d, name: string(d.Name()), index: d.Index(), oneof: -1, number: d.Number(), kind: d.Kind(),
		list: d.IsList(), presence: d.HasPresence(),
	}
	if o := d.ContainingOneof(); o != nil {
		f.oneof = o.Index()
	}
	switch {
	case d.IsMap():
		f.key, f.value = p.field(d.MapKey()), p.field(d.MapValue())
	case d.Kind() == protoreflect.MessageKind:
		f.message = p.make(d.Message())
	}
	return f
}

// isSpecial reports whether a type's JSON is special; google.protobuf.Empty's is not.
func isSpecial(m protoreflect.MessageDescriptor) bool {
	return m.ParentFile().Package() == "google.protobuf" && m.Name() != "Empty"
}
