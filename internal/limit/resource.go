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

// Snapshots.
const (
	SnapshotsPerTopicMax   = 5000
	SnapshotsPerProjectMax = 5000
	SnapshotLifeMax        = 7 * 24 * time.Hour // counted from the oldest message that it keeps
	SnapshotLifeMin        = time.Hour          // one that would live shorter is not made
)

// Access policies (google.iam.v1). The number of members and of permissions are IAM's documented limits; the size of a member is this
// broker's own.
const (
	PolicyMembersMax     = 1500 // in all bindings of a policy
	PolicyMemberBytesMax = 1024
	PermissionsMax       = 100 // of a TestIamPermissions
)

// What a function of a message transform may use for one message. The time is documented; the depth is this broker's own.
const (
	TransformTimeMax       = 500 * time.Millisecond
	TransformStackDepthMax = 1000 // calls within one another
	// TransformMemoryBytesMax is what a process that runs functions may have; the largest messages, parsed, need a part of it.
	TransformMemoryBytesMax = 1 << 30
)
