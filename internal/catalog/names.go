package catalog

import (
	"strings"

	"github.com/posthaste-io/posthaste/internal/limit"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What stands in place of a name when the resource that it named was deleted. None is a valid name.
const (
	DeletedTopic  = "_deleted-topic_"
	DeletedSchema = "_deleted-schema_"
	// DeletedSchemaRevision stands for a deleted revision that is the first or last of a topic's range.
	DeletedSchemaRevision = "_deleted-schema-revision_"
)

// Name is a resource name taken apart: projects/{Project}/topics/{ID}, and so for the other kinds. A project's name has no ID.
type Name struct {
	Project string
	ID      string
}

// The collections of a project.
const (
	topics        = "topics"
	subscriptions = "subscriptions"
	snapshots     = "snapshots"
	schemas       = "schemas"
)

// ParseTopic takes projects/{project}/topics/{id} apart. An error is INVALID_ARGUMENT and names the name.
func ParseTopic(name string) (Name, error) { return parse(name, topics) }

// ParseSubscription takes projects/{project}/subscriptions/{id} apart. An error is INVALID_ARGUMENT and names the name.
func ParseSubscription(name string) (Name, error) { return parse(name, subscriptions) }

// ParseSnapshot takes projects/{project}/snapshots/{id} apart. An error is INVALID_ARGUMENT and names the name.
func ParseSnapshot(name string) (Name, error) { return parse(name, snapshots) }

// ParseSchema takes projects/{project}/schemas/{id} or projects/{project}/schemas/{id}@{revision} apart. The revision is eight lower-case
// hexadecimal digits, or empty when the name has none. An error is INVALID_ARGUMENT and names the name.
func ParseSchema(name string) (schema Name, revision string, err error) {
	base, revision, has := strings.Cut(name, "@")
	if has && !validRevision(revision) {
		return Name{}, "", BadName(name)
	}
	if schema, err = parse(base, schemas); err != nil {
		return Name{}, "", BadName(name)
	}
	return schema, revision, nil
}

// ParseProject takes projects/{project} apart and gives the project. An error is INVALID_ARGUMENT and names the name.
func ParseProject(name string) (string, error) {
	project, is := strings.CutPrefix(name, projectsPrefix)
	if !is || !validProject(project) {
		return "", BadName(name)
	}
	return project, nil
}

// ValidTopicName reports whether ParseTopic would take the name. It does not allocate: every publish asks.
func ValidTopicName(name []byte) bool {
	_, _, valid := split(name, topics)
	return valid
}

// BadName is the refusal of a name that does not have the form of its kind.
func BadName(name string) error {
	return invalid("Invalid resource name given (name=%s). Refer to https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information.",
		quoted(name))
}

// BadAckID is the refusal of an ack id that was not given out for the subscription.
func BadAckID(id []byte) error {
	return invalid("You have passed an invalid ack ID to the service (ack_id=%s).", quoted(string(id)))
}

// NotFound says that no resource has the name.
func NotFound(name string) error {
	return status.Errorf(codes.NotFound, "Resource not found (resource=%s).", quoted(lastSegment(name)))
}

// AlreadyExists says that a resource to be created has the name of one that exists.
func AlreadyExists(name string) error {
	return status.Errorf(codes.AlreadyExists, "Resource already exists in the project (resource=%s).", quoted(lastSegment(name)))
}

func lastSegment(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func parse(name, collection string) (Name, error) {
	project, id, valid := split(name, collection)
	if !valid {
		return Name{}, BadName(name)
	}
	return Name{Project: project, ID: id}, nil
}

const projectsPrefix = "projects/"

// split finds the project and the id of a name without copying either.
func split[T string | []byte](name T, collection string) (project, id T, valid bool) {
	if len(name) < len(projectsPrefix) || string(name[:len(projectsPrefix)]) != projectsPrefix {
		return project, id, false
	}
	rest := name[len(projectsPrefix):]
	slash := 0
	for slash < len(rest) && rest[slash] != '/' {
		slash++
	}
	project, rest = rest[:slash], rest[slash:]
	after := 1 + len(collection) + 1 // of "/topics/"
	if len(rest) < after || string(rest[1:after-1]) != collection || rest[after-1] != '/' {
		return project, id, false
	}
	id = rest[after:]
	return project, id, validProject(project) && validID(id)
}

// validID holds an id against ^[A-Za-z][A-Za-z0-9_.~+%-]{2,254}$ and the reserved prefix, which is taken as written, in lower case.
func validID[T string | []byte](id T) bool {
	if len(id) < limit.ResourceIDBytesMin || len(id) > limit.ResourceIDBytesMax || !isLetter(id[0]) || string(id[:3]) == "goo" && len(id) > 3 && id[3] == 'g' {
		return false
	}
	for i := 1; i < len(id); i++ {
		switch c := id[i]; {
		case isLetter(c), isDigit(c):
		case c == '-', c == '_', c == '.', c == '~', c == '+', c == '%':
		default:
			return false
		}
	}
	return true
}

// validProject takes project ids, project numbers and ids within a domain (example.com:project), and is lenient beyond that: a
// broker of one's own has no list of projects to hold a name against.
func validProject[T string | []byte](project T) bool {
	if len(project) == 0 || len(project) > limit.ResourceIDBytesMax || !isLetter(project[0]) && !isDigit(project[0]) {
		return false
	}
	for i := 1; i < len(project); i++ {
		switch c := project[i]; {
		case isLetter(c), isDigit(c), c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}

func validRevision(revision string) bool {
	if len(revision) != 8 {
		return false
	}
	for i := range len(revision) {
		if c := revision[i]; !isDigit(c) && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
