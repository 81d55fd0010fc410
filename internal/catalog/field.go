package catalog

import (
	"slices"
	"strconv"
	"strings"

	"github.com/posthaste-io/posthaste/internal/limit"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// use says who may set a field, and when.
type use uint8

const (
	mutable   use = iota // given at creation, changed by an update
	immutable            // given at creation
	ignored              // the server's own, or never shown: dropped from what a client sends, refused in a mask
)

// field is the rule of one field of a resource R.
type field[R proto.Message] struct {
	name string
	use  use
	// parts are the fields within this one that an update may name by themselves.
	parts []string
	// clearedByEmpty says that an update with an empty message clears the field, as one without a message does.
	clearedByEmpty bool
	// carry brings over what an update leaves as it was although its mask names the field. nil: nothing.
	carry func(current, next R)
	// settle checks the field's value and fills in its defaults. It changes nothing else. nil: every value will do.
	settle func(R) error
}

// kind is a kind of resource: the rules of all its fields. An update applies the same settle functions as a creation, but only those
// of the fields that its mask names, so that it neither repairs nor trips over a field that it does not touch.
type kind[R proto.Message] struct {
	noun string // Topic
	hint string // how a path is written, and how it is not
	// fields are settled in this order: a default that depends on another field comes after it.
	fields []field[R]
	// whole checks what ties fields together and sets the output fields that follow from the others.
	whole func(R) error
}

// create makes the resource that a client's creation describes.
func (k *kind[R]) create(in R) (R, error) {
	var none R
	created := k.known(in)
	for _, f := range k.fields {
		if f.settle == nil {
			continue
		}
		if err := f.settle(created); err != nil {
			return none, err
		}
	}
	if err := k.finish(created); err != nil {
		return none, err
	}
	return created, nil
}

// update makes of current what it is after a client's update.
func (k *kind[R]) update(current, in R, mask *fieldmaskpb.FieldMask) (R, error) {
	var none R
	if err := k.checkMask(mask); err != nil {
		return none, err
	}
	next, from := proto.Clone(current).(R), k.known(in)
	for _, f := range k.fields {
		if !f.named(mask) {
			continue
		}
		f.copy(next, from, mask)
		if f.carry != nil {
			f.carry(current, next)
		}
	}
	for _, f := range k.fields {
		if f.settle == nil || !f.named(mask) {
			continue
		}
		if err := f.settle(next); err != nil {
			return none, err
		}
	}
	if err := k.finish(next); err != nil {
		return none, err
	}
	return next, nil
}

func (k *kind[R]) finish(resource R) error {
	if err := k.whole(resource); err != nil {
		return err
	}
	if size := proto.Size(resource); size > limit.ResourceBytesMax {
		return tooLarge(strings.ToLower(k.noun)+"_size", strconv.Itoa(size), strconv.Itoa(limit.ResourceBytesMax))
	}
	return nil
}

// known is a copy of what a client sent, without the fields that this version does not know and those that are not the client's.
func (k *kind[R]) known(in R) R {
	if !in.ProtoReflect().IsValid() { // a request without the resource
		return in.ProtoReflect().New().Interface().(R)
	}
	out := proto.Clone(in).(R)
	dropUnknown(out.ProtoReflect())
	for _, f := range k.fields {
		if f.use == ignored {
			out.ProtoReflect().Clear(descriptor(out, f.name))
		}
	}
	return out
}

// checkMask refuses a mask that names nothing, or a field that there is not or that an update may not change. The first offender in
// the mask's order is the one named.
func (k *kind[R]) checkMask(mask *fieldmaskpb.FieldMask) error {
	if len(mask.GetPaths()) == 0 {
		return invalid("The update_mask in the Update%sRequest must be set, and must contain a non-empty paths list.", k.noun)
	}
	for _, path := range mask.Paths {
		top, part, deep := strings.Cut(path, ".")
		at := slices.IndexFunc(k.fields, func(f field[R]) bool { return f.name == top })
		switch {
		case at < 0, deep && !slices.Contains(k.fields[at].parts, part):
			return invalid("Invalid update_mask provided in the Update%sRequest: %s is not a known %s field. Note that field paths must be of the form %s.",
				k.noun, quoted(path), k.noun, k.hint)
		case k.fields[at].use != mutable:
			return invalid("Invalid update_mask provided in the Update%sRequest: the '%s' field in the %s is not mutable.", k.noun, quoted(path), k.noun)
		}
	}
	return nil
}

// named reports whether a mask names the field or a part of it. A missing mask names every field.
func (f *field[R]) named(mask *fieldmaskpb.FieldMask) bool {
	return namesPath(mask, f.name)
}

func namesPath(mask *fieldmaskpb.FieldMask, name string) bool {
	return mask == nil || slices.ContainsFunc(mask.Paths, func(path string) bool {
		top, _, _ := strings.Cut(path, ".")
		return top == name
	})
}

// copy sets the field in next, or the parts of it that the mask names, to what it is in from. A part of a field that is not set
// sets the field.
func (f *field[R]) copy(next, from R, mask *fieldmaskpb.FieldMask) {
	fd := descriptor(next, f.name)
	to, given := next.ProtoReflect(), from.ProtoReflect()
	if slices.Contains(mask.Paths, f.name) {
		assign(to, given, fd)
		if f.clearedByEmpty && proto.Size(to.Get(fd).Message().Interface()) == 0 {
			to.Clear(fd)
		}
		return
	}
	for _, part := range f.parts {
		if slices.Contains(mask.Paths, f.name+"."+part) {
			assign(to.Mutable(fd).Message(), given.Get(fd).Message(), fd.Message().Fields().ByName(protoreflect.Name(part)))
		}
	}
	if proto.Size(to.Get(fd).Message().Interface()) == 0 {
		to.Clear(fd)
	}
}

func assign(to, from protoreflect.Message, fd protoreflect.FieldDescriptor) {
	if !from.Has(fd) {
		to.Clear(fd)
		return
	}
	to.Set(fd, from.Get(fd))
}

func descriptor(resource proto.Message, name string) protoreflect.FieldDescriptor {
	return resource.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name))
}

// dropUnknown removes, at every depth, fields that the generated code does not know.
func dropUnknown(m protoreflect.Message) {
	m.SetUnknown(nil)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, value protoreflect.Value) bool {
					dropUnknown(value.Message())
					return true
				})
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				dropUnknown(v.List().Get(i).Message())
			}
		default:
			dropUnknown(v.Message())
		}
		return true
	})
}
