package schema

import (
	"fmt"
	"slices"
	"strings"
)

// compatibleAvro holds two revisions against Avro's rules of schema resolution, with each as the reader of what the other wrote.
func compatibleAvro(earlier, later *avroType) error {
	if reason := resolveAvro(later, earlier); reason != "" {
		return fmt.Errorf("the new revision cannot read messages of the previous one: %s", reason)
	}
	if reason := resolveAvro(earlier, later); reason != "" {
		return fmt.Errorf("the previous revision cannot read messages of the new one: %s", reason)
	}
	return nil
}

func resolveAvro(reader, writer *avroType) (reason string) {
	r := &avroResolver{verdicts: make(map[avroPair]string)}
	return r.resolve(reader, writer, "")
}

type avroPair struct{ reader, writer *avroType }

// avroResolver remembers the verdicts on pairs of records, the only types that may contain themselves. A pair that is being looked at
// counts as good meanwhile: it is, if nothing else in it stands against it.
type avroResolver struct {
	verdicts map[avroPair]string
}

// resolve says why a reader cannot read what a writer wrote; path is the place for errors. An empty reason means that it can.
func (r *avroResolver) resolve(reader, writer *avroType, path string) (reason string) {
	switch {
	case writer.kind == avroUnion:
		for _, branch := range writer.branches {
			if reason := r.resolve(reader, branch, path); reason != "" {
				return reason
			}
		}
		return ""
	case reader.kind == avroUnion:
		return r.resolveInto(reader, writer, path)
	case reader.kind != writer.kind:
		if promotes(writer.kind, reader.kind) {
			return ""
		}
		return mismatch(reader, writer, path)
	}
	switch reader.kind {
	case avroRecord:
		if !sameName(reader, writer) {
			return mismatch(reader, writer, path)
		}
		pair := avroPair{reader, writer}
		reason, known := r.verdicts[pair]
		if !known {
			r.verdicts[pair] = ""
			reason = r.records(reader, writer, path)
			r.verdicts[pair] = reason
		}
		return reason
	case avroEnum:
		return enums(reader, writer, path)
	case avroFixed:
		if !sameName(reader, writer) || reader.size != writer.size {
			return mismatch(reader, writer, path)
		}
	case avroArray, avroMap:
		return r.resolve(reader.items, writer.items, path)
	}
	return ""
}

// resolveInto finds the branch of a reader's union that takes what a writer wrote.
func (r *avroResolver) resolveInto(union, writer *avroType, path string) string {
	likely, there := union.branchAt[writer.label()]
	if there && r.resolve(union.branches[likely], writer, path) == "" {
		return ""
	}
	for _, branch := range union.branches {
		if r.resolve(branch, writer, path) == "" {
			return ""
		}
	}
	return fmt.Sprintf("%sno branch of the union takes %s", at(path), excerpt(writer.label()))
}

func (r *avroResolver) records(reader, writer *avroType, path string) string {
	for i := range reader.fields {
		f := &reader.fields[i]
		place := strings.TrimPrefix(path+"."+f.name, ".")
		written, there := writer.fieldAt[f.name]
		for _, alias := range f.aliases {
			if there {
				break
			}
			written, there = writer.fieldAt[alias]
		}
		if !there {
			if !f.hasDefault {
				return fmt.Sprintf("field %s has no default and is in one of them only", excerpt(place))
			}
			continue
		}
		if reason := r.resolve(f.kind, writer.fields[written].kind, place); reason != "" {
			return reason
		}
	}
	return ""
}

func enums(reader, writer *avroType, path string) string {
	if !sameName(reader, writer) {
		return mismatch(reader, writer, path)
	}
	for _, symbol := range writer.symbols {
		if _, known := reader.symbolAt[symbol]; !known && !reader.hasDefault {
			return fmt.Sprintf("%sthe enum %s lacks the symbol %s and has no default", at(path), excerpt(reader.name), excerpt(symbol))
		}
	}
	return ""
}

// sameName compares what follows the namespaces, and a reader's aliases.
func sameName(reader, writer *avroType) bool {
	return simple(reader.name) == simple(writer.name) || slices.Contains(reader.aliases, writer.name)
}

func simple(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// promotes says whether a reader may take a value of one primitive type for one of another.
func promotes(written, read avroKind) bool {
	switch written {
	case avroInt:
		return read == avroLong || read == avroFloat || read == avroDouble
	case avroLong:
		return read == avroFloat || read == avroDouble
	case avroFloat:
		return read == avroDouble
	case avroString:
		return read == avroBytes
	case avroBytes:
		return read == avroString
	}
	return false
}

func mismatch(reader, writer *avroType, path string) string {
	return fmt.Sprintf("%stype %s is not compatible with type %s", at(path), describe(reader), describe(writer))
}

func describe(t *avroType) string {
	if t.name == "" {
		return t.kind.String()
	}
	return fmt.Sprintf("%v %s", t.kind, excerpt(t.name))
}

func at(path string) string {
	if path == "" {
		return ""
	}
	return "field " + excerpt(path) + ": "
}
