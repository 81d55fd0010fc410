package catalog

// Field is a top-level field that a client may give when it creates a resource.
type Field struct {
	Name    string // of the API definition, snake_case
	Mutable bool   // an update may change it
}

// TopicFields lists what a client decides about a topic, in the order in which defaults are filled in. Output fields and tags, which are
// never shown, are not among it.
func TopicFields() []Field { return topicKind.configurable() }

// SubscriptionFields is the same for a subscription.
func SubscriptionFields() []Field { return subscriptionKind.configurable() }

func (k *kind[R]) configurable() []Field {
	var fields []Field
	for _, f := range k.fields {
		if f.use != ignored {
			fields = append(fields, Field{Name: f.name, Mutable: f.use == mutable})
		}
	}
	return fields
}
