// Package iam holds the rules of access policies on resources (google.iam.v1): which policies are accepted, how one is changed and
// shown, and which permissions a kind of resource knows. It is pure: no I/O, no state, and no randomness but in etags. Nothing that is
// passed in is changed, and nothing returned shares memory with it. Every error is a gRPC status.
//
// Roles are names and conditions are texts here: what they grant is for whoever enforces policies to say.
package iam

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/catalog"
)

// Kind is a kind of resource that may have a policy.
type Kind uint8

// The kinds.
const (
	Topic Kind = iota
	Subscription
	Snapshot
	Schema
)

// ParseResource says what kind of resource a name is of. An error is INVALID_ARGUMENT and names the name.
func ParseResource(name string) (Kind, error) {
	segments := strings.SplitN(name, "/", 4)
	if len(segments) < 4 {
		return 0, catalog.BadName(name)
	}
	var err error
	switch segments[2] {
	case "topics":
		_, err = catalog.ParseTopic(name)
		return Topic, err
	case "subscriptions":
		_, err = catalog.ParseSubscription(name)
		return Subscription, err
	case "snapshots":
		_, err = catalog.ParseSnapshot(name)
		return Snapshot, err
	case "schemas":
		_, revision, err := catalog.ParseSchema(name)
		if err == nil && revision != "" {
			err = catalog.BadName(name) // a policy is the schema's, not a revision's
		}
		return Schema, err
	}
	return 0, catalog.BadName(name)
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// quotedBytesMax bounds what a text repeats of a client's input: a status travels in a header.
const quotedBytesMax = 256

func quoted(input string) string {
	if len(input) > quotedBytesMax {
		input = input[:quotedBytesMax] + "..."
	}
	return strings.ToValidUTF8(input, "\uFFFD")
}
