// Package catalog holds the rules of topics, subscriptions and snapshots as resources: which names, values and changes are accepted, which
// defaults are filled in, and what a client is told otherwise. It is pure: no I/O, no clock, no state, and no randomness but the name
// that a subscription or snapshot without one is given. Every error is a gRPC status with the text that the real service gives, where it is known.
//
// Three facts hold for every function that takes a resource and returns one:
//
//  1. Nothing that was passed in is changed, and nothing returned shares memory with it: an error leaves no half of a change behind.
//  2. What is returned satisfies every rule of this package and has all defaults and output fields filled in. An output field, or a tag
//     (tags are input only), that a client sent is dropped.
//  3. A field that this version does not know is dropped from what a client sends, at every depth: it cannot be checked, no mask could
//     clear it again, and sending it back would claim that it is in effect. Unknown fields of a stored resource, which a newer version
//     wrote, survive reading, updating and writing.
//
// Whether another resource exists is for the caller to find out; [TopicReferences] and [SubscriptionReferences] say which ones to look for.
package catalog

import (
	"fmt"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
)

// Encode gives the stored form of a resource: its protobuf bytes, fields and map keys in a fixed order, so that equal resources of one
// build have equal bytes.
func Encode(resource proto.Message) []byte {
	stored, err := proto.MarshalOptions{Deterministic: true}.Marshal(resource)
	if err != nil { // all strings of a resource came out of a decoder that checked them
		panic("bug: catalog: encode " + string(resource.ProtoReflect().Descriptor().Name()) + ": " + err.Error())
	}
	return stored
}

// EncodeTopic gives the stored form of a topic, beside which its name is kept: topics that differ in nothing else have equal bytes.
func EncodeTopic(topic *pubsubpb.Topic) []byte {
	bare := proto.Clone(topic).(*pubsubpb.Topic)
	bare.Name = ""
	return Encode(bare)
}

// DecodeTopic reads what EncodeTopic wrote for a topic of that name.
func DecodeTopic(name string, stored []byte) (*pubsubpb.Topic, error) {
	topic := new(pubsubpb.Topic)
	if err := proto.Unmarshal(stored, topic); err != nil {
		return nil, fmt.Errorf("decode stored topic %s: %w", name, err)
	}
	topic.Name = name
	return topic, nil
}

// EncodeSubscription gives the stored form of a subscription, beside which its name and its topic are kept.
func EncodeSubscription(subscription *pubsubpb.Subscription) []byte {
	bare := proto.Clone(subscription).(*pubsubpb.Subscription)
	bare.Name, bare.Topic = "", ""
	return Encode(bare)
}

// DecodeSubscription reads what EncodeSubscription wrote for a subscription of that name, of a topic of that name.
func DecodeSubscription(name, topic string, stored []byte) (*pubsubpb.Subscription, error) {
	subscription := new(pubsubpb.Subscription)
	if err := proto.Unmarshal(stored, subscription); err != nil {
		return nil, fmt.Errorf("decode stored subscription %s: %w", name, err)
	}
	subscription.Name, subscription.Topic = name, topic
	return subscription, nil
}
