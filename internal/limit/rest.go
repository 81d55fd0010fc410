package limit

import "time"

// HTTP. A body of JSON is a third longer than the bytes in it, and escapes make it longer still. These are the broker's own.
const (
	RESTBodyBytesMax = 20 << 20
	RESTBodyTimeMax  = 20 * time.Second // and a second more for as many bytes as come:
	// RESTBodyBytesPerSecondMin is slower than any line over which publishing makes sense, and makes an attacker pay for what it holds.
	RESTBodyBytesPerSecondMin = 32 << 10
	RESTMaskBytesMax          = 8 << 10 // of the fields that a client wants of an answer
	RESTAnswerTimeMax         = 60 * time.Second
	HTTPHeaderBytesMax        = 64 << 10
	HTTPHeaderTimeMax         = 10 * time.Second
	HTTPIdleTimeMax           = 2 * time.Minute
)
