// Package transform changes messages by the message transforms of a topic or a subscription: functions in JavaScript, and compression.
//
// Facts that hold for every function:
//
//  1. A function sees nothing but the message, what is known of it, and JavaScript itself: no files, no network, no modules, no timers, no
//     code made from texts (eval, Function).
//  2. It has limit.TransformTimeMax for one message, limit.TransformStackDepthMax calls within one another, and its message must fit
//     the limits of messages. Memory is not the engine's to bound, and a few built-in functions cannot be interrupted: whoever does not
//     trust the functions runs them in a process of their own, see package sandbox.
//  3. Top-level variables are made anew for each message. What a function does to built-in objects, or to variables that it never
//     declared, may or may not be there for the next message of the same resource, and never for another resource.
//
// Model inference is another service's work: such a transform is kept as configuration, and leaves messages as they are.
package transform

import (
	"context"
	"fmt"
	"sync/atomic"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
)

// Chain is what the enabled transforms of one resource do, in order. It does not change.
type Chain struct {
	// Number tells chains of this process apart.
	Number uint64
	// Whole says that messages count all together: after the first failure the others need not be looked at.
	Whole bool
	steps []*pubsubpb.MessageTransform
}

var chains atomic.Uint64

// NewChain is the chain of a resource's transforms; nil when messages stay as they are.
func NewChain(transforms []*pubsubpb.MessageTransform, whole bool) *Chain {
	var steps []*pubsubpb.MessageTransform
	for _, t := range transforms {
		if !t.Disabled && t.GetAiInference() == nil {
			steps = append(steps, proto.Clone(t).(*pubsubpb.MessageTransform))
		}
	}
	if len(steps) == 0 {
		return nil
	}
	return &Chain{Number: chains.Add(1), Whole: whole, steps: steps}
}

// Spec is the chain in bytes, for RestoreChain in another process.
func (c *Chain) Spec() []byte { return Spec(c.steps) }

// Spec is transforms in bytes, for RestoreChain in another process.
func Spec(transforms []*pubsubpb.MessageTransform) []byte {
	spec, err := proto.Marshal(&pubsubpb.Topic{MessageTransforms: transforms})
	if err != nil { // the texts came out of a decoder that checked them
		panic("bug: transform: encode a chain: " + err.Error())
	}
	return spec
}

// RestoreChain is a chain of the transforms that gave the spec.
func RestoreChain(number uint64, spec []byte, whole bool) (*Chain, error) {
	var holder pubsubpb.Topic
	if err := proto.Unmarshal(spec, &holder); err != nil {
		return nil, fmt.Errorf("restore a chain of transforms: %w", err)
	}
	return &Chain{Number: number, Whole: whole, steps: holder.MessageTransforms}, nil
}

// Steps are the transforms of the chain. Nobody may change them.
func (c *Chain) Steps() []*pubsubpb.MessageTransform { return c.steps }

// Scripted says whether the chain runs functions.
func (c *Chain) Scripted() bool {
	for _, step := range c.steps {
		if step.GetJavascriptUdf() != nil {
			return true
		}
	}
	return false
}

// Input is a message to be transformed.
type Input struct {
	Message []byte // as stored: a canonical PubsubMessage without what the server adds
	ID      uint64 // message id; 0: not known yet
	Time    int64  // publish time in Unix nanoseconds; 0: not known yet
}

// Outcome is what became of a message. The zero value is a message that a chain of messages that count as a whole did not come to.
type Outcome struct {
	Message []byte // the new message, canonical; it shares no memory with the input. nil: dropped or failed
	Dropped bool
	Failure string // why there is no new message, for people; empty: there is, or it was dropped
}

// Runner runs chains. It is safe for concurrent use.
type Runner interface {
	// Run gives the outcome of each message, in order. An error says nothing of the messages: the caller gave up, or the runner cannot work.
	Run(ctx context.Context, c *Chain, in []Input) ([]Outcome, error)
	// Check runs the definitions of the transforms and looks for their functions. fault says what is wrong, and index with which transform;
	// an error says nothing of the transforms.
	Check(ctx context.Context, transforms []*pubsubpb.MessageTransform) (index int, fault string, err error)
	// Close ends the runner. Nobody may use it any more.
	Close() error
}
