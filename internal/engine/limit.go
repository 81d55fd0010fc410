package engine

import "time"

// LazyMax is how long an enqueued record may stay in memory. A crash can lose the acknowledgements of that long (GUARANTEES, P3).
const LazyMax = 10 * time.Millisecond

// RecordBytesMax bounds a record's body: a publish request of 10,000,000 bytes and ample room for what the broker adds.
const RecordBytesMax = 12 << 20
