package blackbox

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// tableRow is a row of a table in docs/COMPATIBILITY.md, under the last heading.
type tableRow struct {
	heading string
	cells   []string
	line    int
}

func compatibility(t *testing.T) []tableRow {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "COMPATIBILITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []tableRow
	heading := ""
	for i, line := range strings.Split(string(text), "\n") {
		if title, is := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); is && strings.HasPrefix(line, "#") {
			heading = title
			continue
		}
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|-") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		rows = append(rows, tableRow{heading, cells, i + 1})
	}
	return rows
}

// claim is the first word of what a row says of Posthaste.
func claim(t *testing.T, row tableRow, column int) string {
	t.Helper()
	if len(row.cells) != 4 {
		t.Fatalf("line %d has %d cells, want 4", row.line, len(row.cells))
	}
	word, reason, _ := strings.Cut(row.cells[column], ":")
	word, _, _ = strings.Cut(word, " (")
	if !slices.Contains([]string{"supported", "inert", "different"}, word) || word == "different" && reason == "" {
		t.Errorf("line %d: %q says neither supported, inert nor, with a reason, different", row.line, row.cells[column])
	}
	return word
}

// TestEveryMethodIsInTheTable compares docs/COMPATIBILITY.md with the API's definitions and with what the broker answers.
func TestEveryMethodIsInTheTable(t *testing.T) {
	t.Parallel()
	a := common(t).attacker(t, 4)
	rows := make(map[string]tableRow)
	for _, row := range compatibility(t) {
		if strings.Contains(row.heading, ".v1") && row.cells[0] != "method" {
			rows["/"+row.heading+"/"+strings.Trim(row.cells[0], "`")] = row
		}
	}
	for _, rpc := range surface(t) {
		row, is := rows[full(rpc)]
		if !is {
			t.Errorf("%s has no row", full(rpc))
			continue
		}
		delete(rows, full(rpc))
		claim(t, row, 1)
		if err := a.call(rpc, nil); status.Code(err) == codes.Unimplemented {
			t.Errorf("line %d: %s answers %v", row.line, full(rpc), err)
		}
		forms := httpForms(rpc)
		if want := map[bool]string{true: "yes", false: "none"}[len(forms) > 0]; row.cells[2] != want {
			t.Errorf("line %d: REST is %q, want %q", row.line, row.cells[2], want)
		}
		for _, form := range forms {
			found := variable.FindStringSubmatch(form.path)
			path := strings.Replace(form.path, found[0], strings.Replace(strings.Replace(found[2], "*", a.project, 1), "*", "missing", 1), 1)
			if code, message := a.web(t, form.verb, path, ""); strings.Contains(message, "there is no method") || code == codes.Unimplemented {
				t.Errorf("line %d: %s %s answers %v %s", row.line, form.verb, path, code, message)
			}
		}
	}
	for name, row := range rows {
		t.Errorf("line %d: there is no method %s", row.line, name)
	}
}

// TestEveryFieldIsInTheTable compares the tables of fields with the messages that requests and responses are made of.
func TestEveryFieldIsInTheTable(t *testing.T) {
	told := make(map[string]int) // by message, or message and field, with the line
	for _, row := range compatibility(t) {
		if !strings.HasPrefix(row.cells[0], "`") || strings.Contains(row.heading, ".v1") || row.heading == "Behaviour" {
			continue
		}
		message := strings.Trim(row.cells[0], "`")
		if row.heading == "Only in v1beta2" {
			message = "v1beta2 " + message
		}
		claim(t, row, 2)
		told[message] = row.line
		for _, field := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row.cells[1], -1) {
			if line := told[message+"."+field[1]]; line != 0 {
				t.Errorf("lines %d and %d both tell of %s.%s", line, row.line, message, field[1])
			}
			told[message+"."+field[1]] = row.line
		}
	}
	for name, fields := range reachable(t) {
		if told[name] == 0 && (!strings.HasPrefix(name, "v1beta2 ") || len(fields) > 0) {
			t.Errorf("the message %s has no row", name)
		}
		delete(told, name)
		for _, field := range fields {
			if told[name+"."+field] == 0 {
				t.Errorf("the field %s.%s has no row", name, field)
			}
			delete(told, name+"."+field)
		}
	}
	for name, line := range told {
		t.Errorf("line %d: there is no %s", line, name)
	}
}

// reachable is every message that a request or response consists of, by its name in its package, with its fields. Of v1beta2 only
// those fields that v1 does not have.
func reachable(t *testing.T) map[string][]string {
	t.Helper()
	fields := make(map[string][]string)
	seen := make(map[protoreflect.FullName]bool)
	var walk func(protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		pkg := m.ParentFile().Package()
		if seen[m.FullName()] || pkg == "google.protobuf" || m.IsMapEntry() {
			return
		}
		seen[m.FullName()] = true
		older := pkg == "google.pubsub.v1beta2"
		name := strings.TrimPrefix(string(m.FullName()), string(pkg)+".")
		if older {
			name = "v1beta2 " + name
		}
		fields[name] = nil
		for i := range m.Fields().Len() {
			field := m.Fields().Get(i)
			if inner := field.Message(); inner != nil {
				walk(inner)
			}
			if !older || !newerHas(t, m, field) {
				fields[name] = append(fields[name], string(field.Name()))
			}
		}
	}
	for _, rpc := range surface(t) {
		walk(rpc.Input())
		walk(rpc.Output())
	}
	return fields
}

// newerHas reports whether v1 has a field of v1beta2, under the same number and with the same form.
func newerHas(t *testing.T, m protoreflect.MessageDescriptor, field protoreflect.FieldDescriptor) bool {
	t.Helper()
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName("google.pubsub.v1").Append(m.Name()))
	if err != nil {
		t.Errorf("v1 has no message %s", m.Name())
		return false
	}
	now := found.(protoreflect.MessageDescriptor).Fields().ByNumber(field.Number())
	return now != nil && now.Name() == field.Name() && now.Kind() == field.Kind() && now.Cardinality() == field.Cardinality()
}
