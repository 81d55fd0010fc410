package broker

import (
	"context"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/internal/transform"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// stage is one thing that a topic does with the messages of a publish before they are stored. A topic's stages are made when its
// configuration is read, and most topics have none. They are safe for concurrent use.
type stage interface {
	// Take checks the messages, or puts others in their place, perhaps none. An error, which is a status, refuses the publish as a whole.
	Take(ctx context.Context, p *wire.Publish) error
}

// intakeOf makes the stages that a topic's configuration asks for, in the order in which messages pass them.
func (b *Broker) intakeOf(config *pubsubpb.Topic) (stages []stage) {
	if chain := transform.NewChain(config.MessageTransforms, true); chain != nil {
		stages = append(stages, transform.Intake{Runner: b.runner, Chain: chain})
	}
	if settings := config.GetSchemaSettings(); settings != nil {
		stages = append(stages, b.schemas.Gate(settings))
	}
	return stages
}

// Transforms runs message transforms, those of no resource too.
func (b *Broker) Transforms() transform.Runner { return b.runner }
