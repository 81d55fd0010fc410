package transform

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// checkTimeMax bounds how long the definitions of a resource's transforms may run when they are checked.
const checkTimeMax = 10 * time.Second

// Check refuses transforms that cannot run: INVALID_ARGUMENT, which names the first of them. Other errors are of the runner.
func Check(ctx context.Context, r Runner, transforms []*pubsubpb.MessageTransform) error {
	if len(transforms) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, checkTimeMax)
	defer cancel()
	index, fault, err := r.Check(limited, transforms)
	switch {
	case err != nil && ctx.Err() == nil && limited.Err() != nil:
		return status.Errorf(codes.InvalidArgument, "Invalid message_transforms: their definitions did not run within %v.", checkTimeMax)
	case err != nil:
		return unable(err)
	case fault != "":
		return status.Errorf(codes.InvalidArgument, "Invalid message_transforms[%d]: %s", index, fault)
	}
	return nil
}

// unable is what a caller is told when transforms could not be run at all.
func unable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	return status.Errorf(codes.Unavailable, "The message transforms could not be run: %v.", err)
}

// Intake is what a topic does with messages before they are stored.
type Intake struct {
	Runner Runner
	Chain  *Chain
}

// Take puts what the chain makes of the messages in their place. Messages that it drops get an id in p.IDs; there may be none left. When
// one fails, all do: INVALID_ARGUMENT, and p is as it was.
func (t Intake) Take(ctx context.Context, p *wire.Publish) error {
	var in []Input
	for m, rest := wire.Next(p.Body); m != nil; m, rest = wire.Next(rest) {
		in = append(in, Input{Message: m})
	}
	out, err := t.Runner.Run(ctx, t.Chain, in)
	if err != nil {
		return unable(err)
	}
	var body []byte
	var ids []uint64
	kept := 0
	for i := range out {
		switch o := &out[i]; {
		case o.Failure != "":
			return status.Errorf(codes.InvalidArgument, "The transformation of a message in the publish request failed (message=%d): %s", i, o.Failure)
		case o.Dropped:
			if ids == nil {
				ids = make([]uint64, len(out))
			}
			ids[i] = droppedID()
		default:
			body = protowire.AppendBytes(protowire.AppendTag(body, messagesField, protowire.BytesType), o.Message)
			kept++
		}
	}
	if size := 1 + protowire.SizeBytes(len(p.Topic)) + len(body); size > limit.PublishRequestBytesMax {
		return status.Errorf(codes.InvalidArgument, "The value for request_size is too large. It is %d after the message transforms, but the maximum value is %d.",
			size, limit.PublishRequestBytesMax)
	}
	p.Body, p.Count, p.IDs = body, kept, ids
	return nil
}

// messagesField is the number of PublishRequest.messages.
const messagesField protowire.Number = 2

// droppedID is an id for a message that is not stored: one that no stored message has, as those count up from 1 and never come near 2^62.
// It still fits into a signed integer, which some clients make of ids.
func droppedID() uint64 {
	var random [8]byte
	rand.Read(random[:])
	return 1<<62 | binary.LittleEndian.Uint64(random[:])>>2
}
