// Package v1beta2pb holds the messages of google.pubsub.v1beta2, generated from pubsub.proto. Google's own generated code for this
// version is no longer published.
package v1beta2pb

//go:generate sh generate.sh
