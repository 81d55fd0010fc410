package registry

import (
	"context"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/internal/wire"
)

// Gate lets the messages of a topic pass that follow its schema, and marks them with the revision that they follow. It is safe for
// concurrent use.
type Gate struct {
	rule  *rule
	fixed []byte // the attributes that are the same for all messages, encoded
}

// Gate makes the gate of a topic's settings, which do not change afterwards. It follows changes of the schema.
func (r *Registry) Gate(settings *pubsubpb.SchemaSettings) *Gate {
	fixed := wire.AppendAttribute(nil, attributeEncoding, settings.Encoding.String())
	return &Gate{rule: &rule{registry: r, settings: settings}, fixed: wire.AppendAttribute(fixed, attributeName, settings.Schema)}
}

// Take marks the messages of a publish. When one does not follow the schema, that is the error.
func (g *Gate) Take(_ context.Context, p *wire.Publish) error {
	var followed string // by the last message
	var attributes []byte
	return p.Replace(func(dst, msg []byte) ([]byte, error) {
		revision, err := g.rule.check(wire.Data(msg))
		if err != nil {
			return nil, err
		}
		if revision != followed {
			followed = revision
			attributes = wire.AppendAttribute(append(attributes[:0], g.fixed...), attributeRevision, revision)
		}
		return wire.AppendMessage(dst, msg, attributes), nil
	})
}
