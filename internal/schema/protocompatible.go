package schema

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// compatibleProto holds two revisions against the service's rules: fields that are not required may be added and removed, and nothing else
// may change. Types inside are compared by what they are, not by their names.
func compatibleProto(earlier, later protoreflect.MessageDescriptor) error {
	c := &protoComparison{seen: make(map[protoPair]bool)}
	if reason := c.messages(earlier, later); reason != "" {
		return fmt.Errorf("%s", reason)
	}
	return nil
}

type protoPair struct{ earlier, later protoreflect.FullName }

// protoComparison looks at each pair of messages once, those that contain themselves too.
type protoComparison struct{ seen map[protoPair]bool }

func (c *protoComparison) messages(earlier, later protoreflect.MessageDescriptor) (reason string) {
	pair := protoPair{earlier.FullName(), later.FullName()}
	if c.seen[pair] {
		return ""
	}
	c.seen[pair] = true
	if reason := onlyIn(earlier, later); reason != "" {
		return reason
	}
	for i := range later.Fields().Len() {
		now := later.Fields().Get(i)
		before := earlier.Fields().ByNumber(now.Number())
		if before == nil {
			if now.Cardinality() == protoreflect.Required {
				return fmt.Sprintf("required field %s = %d is missing in %s", now.FullName(), now.Number(), earlier.FullName())
			}
			continue
		}
		if reason := c.fields(before, now); reason != "" {
			return reason
		}
	}
	return ""
}

// onlyIn finds a required field of the earlier message that the later one lacks, and a name that moved to another number.
func onlyIn(earlier, later protoreflect.MessageDescriptor) (reason string) {
	for i := range earlier.Fields().Len() {
		before := earlier.Fields().Get(i)
		if later.Fields().ByNumber(before.Number()) == nil && before.Cardinality() == protoreflect.Required {
			return fmt.Sprintf("required field %s = %d is missing in %s", before.FullName(), before.Number(), later.FullName())
		}
		if now := later.Fields().ByName(before.Name()); now != nil && now.Number() != before.Number() {
			return fmt.Sprintf("%s has the number %d and had the number %d", now.FullName(), now.Number(), before.Number())
		}
	}
	return ""
}

func (c *protoComparison) fields(before, now protoreflect.FieldDescriptor) (reason string) {
	switch {
	case before.Kind() != now.Kind(), before.IsMap() != now.IsMap():
		return fmt.Sprintf("%s of type %s is not compatible with %s of type %s", now.Name(), protoType(now), before.Name(), protoType(before))
	case before.Cardinality() != now.Cardinality():
		return fmt.Sprintf("%s is %v and was %v", now.FullName(), now.Cardinality(), before.Cardinality())
	case before.Name() != now.Name() || before.JSONName() != now.JSONName():
		return fmt.Sprintf("%s = %d was called %s", now.FullName(), now.Number(), before.Name())
	case now.Enum() != nil:
		if reason := missingValue(now.Enum(), before.Enum()); reason != "" {
			return reason
		}
		return missingValue(before.Enum(), now.Enum())
	case now.Message() != nil && wellKnown[now.Message().ParentFile().Path()] != nil && now.Message().FullName() != before.Message().FullName():
		return fmt.Sprintf("%s of type %s is not compatible with %s of type %s", now.Name(), protoType(now), before.Name(), protoType(before))
	case now.Message() != nil:
		return c.messages(before.Message(), now.Message())
	}
	return ""
}

// missingValue finds a value of one enum that the other lacks. The service takes neither additions nor removals.
func missingValue(have, other protoreflect.EnumDescriptor) string {
	for i := range have.Values().Len() {
		v := have.Values().Get(i)
		if same := other.Values().ByName(v.Name()); same == nil || same.Number() != v.Number() {
			return fmt.Sprintf("%s = %d is missing in %s", v.FullName(), v.Number(), other.FullName())
		}
	}
	return ""
}

func protoType(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsMap():
		return fmt.Sprintf("map<%s, %s>", protoType(fd.MapKey()), protoType(fd.MapValue()))
	case fd.Message() != nil:
		return string(fd.Message().FullName())
	case fd.Enum() != nil:
		return string(fd.Enum().FullName())
	default:
		return fd.Kind().String()
	}
}
