package batch

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/limit"
)

func TestLineGoesOutAtOnce(t *testing.T) {
	reader, writer := io.Pipe()
	batches := make(chan [][]byte)
	ended := make(chan error, 1)
	go func() { ended <- NewLines(reader).Feed(t.Context(), 10, batches) }()
	for _, line := range []string{"one", "two"} {
		if _, err := io.WriteString(writer, line+"\n"); err != nil {
			t.Fatal(err)
		}
		select {
		case b := <-batches:
			if len(b) != 1 || string(b[0]) != line {
				t.Errorf("got %q", b)
			}
		case <-time.After(2 * time.Minute):
			t.Fatal("the line waits for more")
		}
	}
	writer.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestBatchesRespectTheLimitsOfACall(t *testing.T) {
	b := Batch{OverheadBytes: 100}
	var batches [][][]byte
	for range 3 * limit.PublishMessagesMax {
		if full := b.Add([]byte("x")); full != nil {
			batches = append(batches, full)
		}
	}
	for range 5 {
		if full := b.Add(make([]byte, batchBytesAim/2)); full != nil {
			batches = append(batches, full)
		}
	}
	if full := b.Add(make([]byte, 5*batchBytesAim)); full != nil {
		batches = append(batches, full)
	}
	batches = append(batches, b.Take())
	total := 0
	for i, messages := range batches {
		bytes := 0
		for _, m := range messages {
			bytes += len(m) + 100
		}
		if len(messages) > limit.PublishMessagesMax || (bytes > batchBytesAim && len(messages) > 1) || len(messages) == 0 {
			t.Errorf("batch %d has %d messages, %d bytes", i, len(messages), bytes)
		}
		total += len(messages)
	}
	if total != 3*limit.PublishMessagesMax+6 {
		t.Errorf("%d messages came out", total)
	}
}

func TestLineThatIsTooLongIsNamed(t *testing.T) {
	input := "short\n" + strings.Repeat("x", limit.PublishRequestBytesMax+1) + "\n"
	err := NewLines(strings.NewReader(input)).Feed(t.Context(), 0, make(chan [][]byte, 1))
	if err == nil || !strings.Contains(err.Error(), "line 2 is longer than 10000000 bytes") {
		t.Errorf("got %v", err)
	}
}
