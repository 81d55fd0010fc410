package enginetest

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/posthaste-io/posthaste/internal/engine"
)

// Recorder is an engine.Machine whose state is every record that it was given, so that a record left out, repeated or moved by an
// engine, over however many restarts, shows. The zero value is ready; it is safe for concurrent use, but reports it when an engine makes
// use of that.
type Recorder struct {
	// ApplyErr, SaveErr and RestoreErr are what the methods answer from the given call on, if not nil.
	ApplyErr, SaveErr, RestoreErr error
	// Locked, if not nil, is held by Apply.
	Locked sync.Locker

	busy     atomic.Bool
	mu       sync.Mutex
	records  []engine.Record
	restored bool
}

var errConcurrent = errors.New("enginetest: the machine was called by two goroutines at a time")

// Apply implements engine.Machine.
func (m *Recorder) Apply(r *engine.Record) error {
	if !m.busy.CompareAndSwap(false, true) {
		return errConcurrent
	}
	defer m.busy.Store(false)
	if m.Locked != nil {
		m.Locked.Lock()
		defer m.Locked.Unlock()
	}
	if m.ApplyErr != nil {
		return m.ApplyErr
	}
	if r.Kind == engine.KindBlock && r.Body != nil {
		return errors.New("enginetest: Apply got a block's body")
	}
	kept := *r
	kept.Body = bytes.Clone(r.Body)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records = append(m.records, kept)
	return nil
}

// Save implements engine.Machine.
func (m *Recorder) Save(w io.Writer) error {
	if !m.busy.CompareAndSwap(false, true) {
		return errConcurrent
	}
	defer m.busy.Store(false)
	if m.SaveErr != nil {
		return m.SaveErr
	}
	return gob.NewEncoder(w).Encode(m.Records())
}

// Restore implements engine.Machine.
func (m *Recorder) Restore(r io.Reader) error {
	if !m.busy.CompareAndSwap(false, true) {
		return errConcurrent
	}
	defer m.busy.Store(false)
	if m.RestoreErr != nil {
		return m.RestoreErr
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.restored || len(m.records) > 0 {
		return errors.New("enginetest: Restore of a machine that has a state")
	}
	m.restored = true
	return gob.NewDecoder(r).Decode(&m.records)
}

// Records is everything applied so far. The caller may keep it but not change it.
func (m *Recorder) Records() []engine.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records[:len(m.records):len(m.records)]
}

// Block is a record with the given messages as a publisher would send them: each a PubsubMessage with nothing but data.
func Block(topic engine.TopicID, messages ...string) engine.Record {
	var body []byte
	for _, data := range messages {
		message := appendField(nil, 0x0a, []byte(data)) // PubsubMessage.data
		body = appendField(body, 0x12, message)         // PublishRequest.messages
	}
	return engine.Record{Kind: engine.KindBlock, Topic: topic, Count: uint32(len(messages)), Body: body}
}

func appendField(to []byte, tag byte, value []byte) []byte {
	to = append(to, tag)
	n := len(value)
	for ; n >= 0x80; n >>= 7 {
		to = append(to, byte(n)|0x80)
	}
	return append(append(to, byte(n)), value...)
}

// Note is a record of the owner's with the given body.
func Note(body string) engine.Record {
	return engine.Record{Kind: engine.KindNote, Body: []byte(body)}
}

// Take copies a batch's blocks and releases it.
func Take(batch *engine.Batch) []engine.Block {
	var blocks []engine.Block
	for _, b := range batch.Blocks {
		b.Body = bytes.Clone(b.Body)
		blocks = append(blocks, b)
	}
	batch.Release()
	return blocks
}

// ReadAll reads a topic from an offset to its end, with as many Reads as it takes. The blocks before an error are returned too.
func ReadAll(ctx context.Context, s engine.Shard, t engine.TopicID, from engine.Offset, bytesMax int) ([]engine.Block, error) {
	var all []engine.Block
	batch := engine.Batch{BytesMax: bytesMax}
	for {
		if err := s.Read(ctx, t, from, &batch); err != nil {
			batch.Release()
			return all, err
		}
		blocks := Take(&batch)
		if len(blocks) == 0 {
			return all, nil
		}
		last := &blocks[len(blocks)-1]
		if last.End() <= from {
			return all, fmt.Errorf("read from %d gave a block that ends at %d", from, last.End())
		}
		all, from = append(all, blocks...), last.End()
	}
}

// Diff says where records that a machine has seen depart from those that were appended; blocks are compared without their bodies.
func Diff(got, want []engine.Record) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("%d records, want %d; the first missing is %s", len(got), len(want), describe(&want[i]))
		case i >= len(want):
			return fmt.Sprintf("%d records, want %d; the first extra one is %s", len(got), len(want), describe(&got[i]))
		case !same(&got[i], &want[i]):
			return fmt.Sprintf("record %d is %s, want %s", i, describe(&got[i]), describe(&want[i]))
		}
	}
	return ""
}

func same(got, want *engine.Record) bool {
	if got.Kind != want.Kind || got.Topic != want.Topic || got.Count != want.Count || got.Stamp != want.Stamp {
		return false
	}
	return want.Kind == engine.KindBlock || bytes.Equal(got.Body, want.Body)
}

func describe(r *engine.Record) string {
	if r.Kind == engine.KindBlock {
		return fmt.Sprintf("block of topic %d, %d messages, %+v", r.Topic, r.Count, r.Stamp)
	}
	return fmt.Sprintf("note of kind %d, %.40q", r.Kind, r.Body)
}

// DiffBlocks says where blocks that were read depart from the records that were appended.
func DiffBlocks(got []engine.Block, want []engine.Record) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("%d blocks, want %d; the first missing is %s", len(got), len(want), describe(&want[i]))
		case i >= len(want):
			return fmt.Sprintf("%d blocks, want %d; the first extra one is at %d", len(got), len(want), got[i].First)
		case got[i].Stamp != want[i].Stamp || got[i].Count != want[i].Count:
			return fmt.Sprintf("block %d is %+v with %d messages, want %s", i, got[i].Stamp, got[i].Count, describe(&want[i]))
		case !bytes.Equal(got[i].Body, want[i].Body):
			return fmt.Sprintf("block %d, at %d, has other bytes than were appended", i, got[i].First)
		}
	}
	return ""
}
