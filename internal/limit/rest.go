package limit

import "time"

// HTTP. A body of JSON is a third longer than the bytes in it, and escapes make it longer still. These are the broker's own.
const (
	RESTBodyBytesMax   = 20 << 20
	RESTBodiesBytesMax = 512 << 20 // of all open calls together, counted twice: as they came, and as they are encoded
	RESTBodyTimeMax    = 60 * time.Second
	RESTAnswerTimeMax  = 60 * time.Second
	HTTPHeaderBytesMax = 64 << 10
	HTTPHeaderTimeMax  = 10 * time.Second
	HTTPIdleTimeMax    = 2 * time.Minute
)
