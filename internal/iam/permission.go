package iam

import (
	"slices"
	"strings"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// permissions are what can be done with a resource that exists. To create and to list are permissions of its project.
var permissions = [...]struct {
	prefix string
	verbs  []string
}{
	Topic: {"pubsub.topics.", []string{"get", "update", "delete", "publish", "attachSubscription", "detachSubscription",
		"getIamPolicy", "setIamPolicy"}},
	Subscription: {"pubsub.subscriptions.", []string{"get", "update", "delete", "consume", "getIamPolicy", "setIamPolicy"}},
	Snapshot:     {"pubsub.snapshots.", []string{"get", "update", "delete", "seek", "getIamPolicy", "setIamPolicy"}},
	Schema: {"pubsub.schemas.", []string{"get", "delete", "attach", "validate", "commit", "rollback", "listRevisions",
		"getIamPolicy", "setIamPolicy"}},
}

// CheckPermissions refuses a permission that does not apply to the kind of resource, wildcards among them, and more than
// limit.PermissionsMax of them.
func CheckPermissions(kind Kind, names []string) error {
	if len(names) > limit.PermissionsMax {
		return invalid("The value for permissions is too large. You passed %d in the request, but the maximum value is %d.", len(names), limit.PermissionsMax)
	}
	known := &permissions[kind]
	for _, name := range names {
		verb, is := strings.CutPrefix(name, known.prefix)
		if !is || !slices.Contains(known.verbs, verb) {
			return invalid("Permission %s is not valid for this resource.", quoted(name))
		}
	}
	return nil
}
