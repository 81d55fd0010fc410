// Package limit holds the limits of the Google Cloud Pub/Sub API in one place, for validation, documents and tests alike. Units end
// the names. Sources: the public API definition (google/pubsub/v1) and the product's quotas page.
package limit

import "time"

// Publish.
const (
	PublishMessagesMax      = 1000
	PublishRequestBytesMax  = 10_000_000 // of the encoded PublishRequest, topic name included
	RequestBytesMax         = 10 << 20   // of any request on the wire
	AttributesMax           = 100        // a message
	AttributeKeyBytesMax    = 256
	AttributeValueBytesMax  = 1024
	OrderingKeyBytesMax     = 1024
	AckRequestBytesMax      = 512 << 10
	PullMessagesMax         = 1000
	PullResponseBytesMax    = 10_000_000
	StreamResponseBytesAim  = 1 << 20 // what a StreamingPullResponse is filled to; a larger single message still travels
	StreamResponseCountMax  = 1000
	StreamAckDeadlineMin    = 10 * time.Second
	StreamAckDeadlineMax    = 600 * time.Second
	PullWaitMax             = 60 * time.Second
	GRPCMessageBytesMax     = 20 << 20 // what Google's own clients accept
	ListPageDefault         = 100
	ListPageMax             = 1000
	ResourceIDBytesMin      = 3
	ResourceIDBytesMax      = 255
	LabelsMax               = 64
	LabelCharsMax           = 63
	FilterBytesMax          = 256
	AckDeadlineDefault      = 10 * time.Second
	AckDeadlineMin          = 10 * time.Second
	AckDeadlineMax          = 600 * time.Second
	RetentionMin            = 10 * time.Minute
	RetentionMax            = 31 * 24 * time.Hour
	RetentionDefault        = 7 * 24 * time.Hour
	ExpirationMin           = 24 * time.Hour
	ExpirationDefault       = 31 * 24 * time.Hour
	BackoffMinimumDefault   = 10 * time.Second
	BackoffMaximumDefault   = 600 * time.Second
	BackoffMax              = 600 * time.Second
	DeliveryAttemptsMin     = 5
	DeliveryAttemptsMax     = 100
	DeliveryAttemptsDefault = 5
	TransformsEnabledMax    = 5
	PushOutstandingMax      = 3000 // messages of one subscription on their way to its endpoint
	PushBackoffMin          = 100 * time.Millisecond
	PushBackoffMax          = 60 * time.Second
)

// Memory for the requests of all clients together, over every front. These are the broker's own.
const (
	RequestMemoryAutomaticMin = 64 << 20
	RequestMemoryAutomaticMax = 1 << 30
	// OrdinaryRequestBytesMax is what Google's publishers put together unless told otherwise. Large requests come after ordinary ones.
	OrdinaryRequestBytesMax = 1 << 20
	// PublishLargeAtOnceMax is how many large publishes are stored at a time. One keeps the disk as busy as several do.
	PublishLargeAtOnceMax = 1
	RequestMemoryWaitMax  = 10 * time.Second // how long a request waits for memory
)
