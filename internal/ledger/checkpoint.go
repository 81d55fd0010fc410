package ledger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/posthaste-io/posthaste/internal/ackset"
	"github.com/posthaste-io/posthaste/internal/engine"
)

// checkpointVersion is the first byte of a saved ledger.
const checkpointVersion = 3

// Save writes the whole ledger:
//
//	byte version · v last · v kinds · kind* · v topics · topic* · v subscriptions · subscription* · v snapshots · snapshot*
//	kind         = s kind · v documents · (s name · s body)*
//	topic        = v id · v end · v deleted · s name · s config
//	subscription = v id · v topic · v detached · v active · s name · s config · v start · v seeks · v epoch · v time · v stale · s acked · v failures · failure*
//	failure      = v at · v offset · v failures · v reason · v wait
//	snapshot     = v id · v topic, 0 if deleted · v ordered · v latest · s name · s config · s acked
//
// Equal ledgers give equal bytes: everything is in the order of its number or key.
func (l *Ledger) Save(w io.Writer) error {
	b := append(make([]byte, 0, 64<<10), checkpointVersion)
	b = binary.AppendUvarint(b, l.last)
	flush := func() (err error) {
		if len(b) >= 32<<10 {
			_, err = w.Write(b)
			b = b[:0]
		}
		return err
	}
	b = binary.AppendUvarint(b, uint64(len(l.documents)))
	for _, kind := range slices.Sorted(maps.Keys(l.documents)) {
		documents := l.documents[kind]
		b = binary.AppendUvarint(appendString(b, kind), uint64(len(documents)))
		for _, name := range slices.Sorted(maps.Keys(documents)) {
			b = appendString(appendString(b, name), string(documents[name]))
			if err := flush(); err != nil {
				return err
			}
		}
	}
	b = binary.AppendUvarint(b, uint64(len(l.topics)))
	for _, id := range slices.Sorted(maps.Keys(l.topics)) {
		b = l.topics[id].append(b)
		if err := flush(); err != nil {
			return err
		}
	}
	b = binary.AppendUvarint(b, uint64(len(l.subscriptions)))
	var scratch []byte
	for _, id := range slices.Sorted(maps.Keys(l.subscriptions)) {
		b, scratch = l.subscriptions[id].append(b, scratch[:0])
		if err := flush(); err != nil {
			return err
		}
	}
	b = binary.AppendUvarint(b, uint64(len(l.snapshots)))
	for _, id := range slices.Sorted(maps.Keys(l.snapshots)) {
		b, scratch = l.snapshots[id].append(b, scratch[:0])
		if err := flush(); err != nil {
			return err
		}
	}
	_, err := w.Write(b)
	return err
}

func (t *Topic) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(t.ID))
	b = binary.AppendUvarint(b, uint64(t.End()))
	b = appendBool(b, t.Deleted)
	b = appendString(b, t.Name)
	return append(binary.AppendUvarint(b, uint64(len(t.Config))), t.Config...)
}

func (s *Subscription) append(b, scratch []byte) (_, _ []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	scratch = s.acked.AppendBinary(scratch)
	seeks, sought := s.seeks, s.sought
	b = binary.AppendUvarint(b, uint64(s.ID))
	b = binary.AppendUvarint(b, uint64(s.Topic.ID))
	b = appendBool(b, s.Detached)
	b = binary.AppendUvarint(b, uint64(s.Active()))
	b = appendString(b, s.Name)
	b = append(binary.AppendUvarint(b, uint64(len(s.Config))), s.Config...)
	b = binary.AppendUvarint(b, uint64(s.Start))
	b = sought.append(binary.AppendUvarint(b, seeks))
	b = append(binary.AppendUvarint(b, uint64(len(scratch))), scratch...)
	return s.appendFailures(b), scratch
}

var errCheckpoint = errors.New("ledger: malformed checkpoint")

// Restore reads what Save wrote into an empty ledger.
func (l *Ledger) Restore(in io.Reader) error {
	r := source{in: bufio.NewReaderSize(in, 64<<10)}
	if v, err := r.in.ReadByte(); err != nil || v != checkpointVersion {
		return fmt.Errorf("%w: version %d (%w)", errCheckpoint, v, err)
	}
	l.last = r.number()
	for range r.number() {
		kind := string(r.bytes())
		for range r.number() {
			name := string(r.bytes())
			body := r.bytes()
			if r.err != nil {
				return r.err
			}
			l.putDocument(kind, name, body)
		}
	}
	for range r.number() {
		t := &Topic{ID: engine.TopicID(r.number())}
		t.end.Store(r.number())
		t.Deleted = r.number() != 0
		t.Name, t.Config = string(r.bytes()), share(&l.alike[0], r.bytes())
		if r.err != nil {
			return r.err
		}
		l.topics[t.ID] = t
	}
	for range r.number() {
		if err := l.restoreSubscription(&r); err != nil {
			return err
		}
	}
	for range r.number() {
		if err := l.restoreSnapshot(&r); err != nil {
			return err
		}
	}
	return r.err
}

func (l *Ledger) restoreSubscription(r *source) error {
	s := &Subscription{ID: SubscriptionID(r.number())}
	topic := engine.TopicID(r.number())
	s.Detached = r.number() != 0
	s.active.Store(int64(r.number()))
	s.Name, s.Config = string(r.bytes()), share(&l.alike[1], r.bytes())
	s.Start, s.seeks = engine.Offset(r.number()), r.number()
	s.sought = Sought{Epoch: r.number(), Time: int64(r.number()), Stale: engine.Offset(r.number())}
	acked := r.bytes()
	if r.err != nil {
		return r.err
	}
	if !l.attach(s, topic) {
		return fmt.Errorf("%w: subscription %d of topic %d, which is not there", errCheckpoint, s.ID, topic)
	}
	var err error
	if s.acked, err = ackset.Decode(acked); err != nil {
		return fmt.Errorf("%w: subscription %d: %w", errCheckpoint, s.ID, err)
	}
	if err := s.restoreFailures(r); err != nil {
		return err
	}
	l.subscriptions[s.ID] = s
	return nil
}

// source reads fields from a stream; after an error it gives zeros.
type source struct {
	in  *bufio.Reader
	err error
}

func (r *source) number() uint64 {
	if r.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(r.in)
	if err != nil {
		r.err = fmt.Errorf("%w: %w", errCheckpoint, err)
		return 0
	}
	return v
}

// bytesMax bounds a field, so that a damaged length cannot ask for all memory.
const bytesMax = 1 << 30

func (r *source) bytes() []byte {
	n := r.number()
	if n > bytesMax {
		r.err = fmt.Errorf("%w: field of %d bytes", errCheckpoint, n)
	}
	if r.err != nil || n == 0 {
		return nil
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.in, b); err != nil {
		r.err = fmt.Errorf("%w: %w", errCheckpoint, err)
	}
	return b
}
