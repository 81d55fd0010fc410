package catalog

import (
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/posthaste-io/posthaste/internal/limit"
	"google.golang.org/protobuf/types/known/durationpb"
)

func settleBigQuery(config *pubsubpb.BigQueryConfig) error {
	switch {
	case config == nil:
		return nil
	case !validBigQueryTable(config.Table):
		return badArgument("BigQueryConfig::table")
	case config.UseTopicSchema && config.UseTableSchema:
		return invalid("use_topic_schema and use_table_schema cannot be enabled at the same time.")
	case config.ServiceAccountEmail != "" && !validAccount(config.ServiceAccountEmail):
		return badArgument("BigQueryConfig::service_account_email")
	}
	config.State = bigQueryState
	return nil
}

// validBigQueryTable takes {project}.{dataset}.{table}, where the project may have dots of its own (example.com:project).
func validBigQueryTable(table string) bool {
	rest, last, found := cutLast(table, ".")
	project, dataset, more := cutLast(rest, ".")
	return found && more && project != "" && dataset != "" && last != "" && !strings.ContainsAny(table, " \t\r\n/")
}

func cutLast(text, separator string) (before, after string, found bool) {
	at := strings.LastIndex(text, separator)
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+len(separator):], true
}

// settleCloudStorage checks how files would be written and fills in the defaults: text, and a file at least every five minutes.
func settleCloudStorage(config *pubsubpb.CloudStorageConfig) error {
	switch {
	case config == nil:
		return nil
	case !validBucket(config.Bucket):
		return badArgument("CloudStorageConfig::bucket")
	case strings.HasSuffix(config.FilenameSuffix, "/"):
		return badArgument("CloudStorageConfig::filename_suffix")
	case config.ServiceAccountEmail != "" && !validAccount(config.ServiceAccountEmail):
		return badArgument("CloudStorageConfig::service_account_email")
	}
	if config.MaxDuration == nil {
		config.MaxDuration = durationpb.New(limit.StorageFileDurationDefault)
	}
	if err := checkFileSize(config); err != nil {
		return err
	}
	if config.OutputFormat == nil {
		config.OutputFormat = &pubsubpb.CloudStorageConfig_TextConfig_{TextConfig: new(pubsubpb.CloudStorageConfig_TextConfig)}
	}
	config.State = cloudStorageState
	return nil
}

// checkFileSize holds the bounds of a file against their own bounds; 0 bytes or messages is no bound.
func checkFileSize(config *pubsubpb.CloudStorageConfig) error {
	if err := checkDuration("CloudStorageConfig::max_duration", config.MaxDuration); err != nil {
		return err
	}
	if !atLeast(config.MaxDuration, limit.StorageFileDurationMin) || !atMost(config.MaxDuration, limit.StorageFileDurationMax) {
		return outOfBounds("max_duration", formatDuration(config.MaxDuration),
			formatDuration(durationpb.New(limit.StorageFileDurationMin)), formatDuration(durationpb.New(limit.StorageFileDurationMax)))
	}
	if size := config.MaxBytes; size != 0 && (size < limit.StorageFileBytesMin || size > limit.StorageFileBytesMax) {
		return outOfBounds("max_bytes", strconv.FormatInt(size, 10),
			strconv.Itoa(limit.StorageFileBytesMin), strconv.Itoa(limit.StorageFileBytesMax))
	}
	if count := config.MaxMessages; count != 0 && count < limit.StorageFileMessagesMin {
		return tooSmall("max_messages", strconv.FormatInt(count, 10), strconv.Itoa(limit.StorageFileMessagesMin))
	}
	return nil
}

// checkStorageDeadline refuses files that stay open for longer than a message may be outstanding. The two defaults, 5 minutes and
// 10 seconds, break that rule themselves, so that neither is held against a value that was chosen.
func checkStorageDeadline(s *pubsubpb.Subscription) error {
	if s.CloudStorageConfig == nil {
		return nil
	}
	open, deadline := s.CloudStorageConfig.MaxDuration, durationpb.New(time.Duration(s.AckDeadlineSeconds)*time.Second)
	if open.AsDuration() == limit.StorageFileDurationDefault || deadline.AsDuration() == limit.AckDeadlineDefault || atMost(open, deadline.AsDuration()) {
		return nil
	}
	return tooLarge("max_duration", formatDuration(open), formatDuration(deadline))
}

func validBucket(bucket string) bool {
	return bucket != "" && !strings.ContainsAny(bucket, "/ \t\r\n")
}

func settleBigtable(config *pubsubpb.BigtableConfig) error {
	switch {
	case config == nil:
		return nil
	case !matchesPath(config.Table, "projects", "instances", "tables"):
		return badArgument("BigtableConfig::table")
	case config.ServiceAccountEmail != "" && !validAccount(config.ServiceAccountEmail):
		return badArgument("BigtableConfig::service_account_email")
	}
	if key := config.GetColumnFamilyMapping().GetDelimitedKey(); key != nil {
		if err := checkDelimitedKey(key); err != nil {
			return err
		}
	}
	config.State = bigtableState
	return nil
}

// checkDelimitedKey wants a delimiter as soon as there is something to delimit.
func checkDelimitedKey(key *pubsubpb.BigtableConfig_ColumnFamilyMapping_DelimitedKey) error {
	if len(key.KeyFields) == 0 {
		return badArgument("BigtableConfig::column_family_mapping::delimited_key::key_fields")
	}
	for _, name := range key.KeyFields {
		if name == "" {
			return badArgument("BigtableConfig::column_family_mapping::delimited_key::key_fields")
		}
	}
	switch size := len(key.Delimiter); {
	case size == 0 && len(key.KeyFields) > 1:
		return badArgument("BigtableConfig::column_family_mapping::delimited_key::delimiter")
	case size > limit.BigtableDelimiterBytesMax:
		return tooLarge("delimiter_size", strconv.Itoa(size), strconv.Itoa(limit.BigtableDelimiterBytesMax))
	}
	return nil
}
