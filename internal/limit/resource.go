package limit

import "time"

// Topics and subscriptions as resources. The sizes of a resource and of a transform's code are this broker's own: the first bounds
// what a resource costs in memory and in the log.
const (
	ResourceBytesMax           = 512 << 10 // of the encoded resource
	TransformCodeBytesMax      = 20 << 10
	StorageFileDurationMin     = time.Minute
	StorageFileDurationMax     = 10 * time.Minute
	StorageFileDurationDefault = 5 * time.Minute
	StorageFileBytesMin        = 1000 // 1 KB
	StorageFileBytesMax        = 10 << 30
	StorageFileMessagesMin     = 1000
	BigtableDelimiterBytesMax  = 50
)
