package transform

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// compress changes a message's data as a compression transform says. failure is empty when it did.
func compress(m *message, how *pubsubpb.Compression) (failure string) {
	if how.CompressionMode == pubsubpb.Compression_DECOMPRESS {
		return decompress(m)
	}
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	w.Write(m.data) // into memory: it does not fail
	w.Close()
	m.data = out.Bytes()
	return ""
}

func decompress(m *message) (failure string) {
	r, err := zlib.NewReader(bytes.NewReader(m.data))
	if err != nil {
		return fmt.Sprintf("the data cannot be decompressed: %v", err)
	}
	// One byte more than a message may have tells a large message from one that is too large, whatever it would grow to.
	data, err := io.ReadAll(io.LimitReader(r, limit.PublishRequestBytesMax+1))
	switch {
	case err != nil:
		return fmt.Sprintf("the data cannot be decompressed: %v", err)
	case len(data) > limit.PublishRequestBytesMax:
		return fmt.Sprintf("the decompressed data has more than %d bytes", limit.PublishRequestBytesMax)
	}
	m.data = data
	return ""
}
