package check

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// Op says what an event is about.
type Op string

// The operations of a history.
const (
	// OpSubscribe is the creation of a subscription; its ok event carries Config.
	OpSubscribe Op = "subscribe"
	// OpUpdate changes a subscription; its ok event carries Config, of which ExactlyOnce may differ.
	OpUpdate Op = "update"
	// OpUnsubscribe is its deletion.
	OpUnsubscribe Op = "unsubscribe"
	// OpPublish is one message of a publish call. Messages of one call share Process and Call and stand in the call's order.
	OpPublish Op = "publish"
	// OpStream is the life of a subscriber's stream, named by Process: invoke when it opens (with Subscription and Limits), ok when the
	// subscriber ended it in an orderly way after its last acknowledgement was taken, fail when it broke or was cut.
	OpStream Op = "stream"
	// OpClose, with the phase invoke, is when the subscriber asked for the end of its stream: the broker may have ended it at any time from
	// then on.
	OpClose Op = "close"
	// OpReceive is a delivery; it has the phase ok only. Process names the stream, or the puller.
	OpReceive Op = "receive"
	// OpAck, OpNack and OpExtend settle or change the lease of AckID. Sent on a stream they have an invoke event only, unless the broker
	// confirms there. Outcomes of extensions and of nacks may both be written as those of extensions.
	OpAck    Op = "ack"
	OpNack   Op = "nack"
	OpExtend Op = "extend"
	// OpSeek moves a subscription: after its invoke event, messages that were acknowledged may come again. One to a time has it as
	// PublishTimeNS.
	OpSeek Op = "seek"
	// OpFault is a fault: invoke when it begins, ok when it is healed. Detail says what kind.
	OpFault Op = "fault"
	// OpDrain ends a history: invoke when subscribers begin to read to the end, ok when silence has lasted long enough.
	OpDrain Op = "drain"
)

// Phase says how far an operation has come.
type Phase string

// The phases of an operation.
const (
	PhaseInvoke  Phase = "invoke"  // it is about to begin
	PhaseOK      Phase = "ok"      // it was answered and done
	PhaseFail    Phase = "fail"    // it was answered and refused: it had no effect
	PhaseUnknown Phase = "unknown" // it was not answered, or the answer leaves open whether it was done
)

// Event is one line of a history. Fields that do not apply are left out.
type Event struct {
	TimeNS       int64  `json:"time_ns"` // nanoseconds on the run's clock
	Process      string `json:"process"`
	Op           Op     `json:"op"`
	Phase        Phase  `json:"phase"`
	Call         int64  `json:"call,omitempty"` // numbers the calls of a process, so that outcome and invocation find each other
	Topic        string `json:"topic,omitempty"`
	Subscription string `json:"subscription,omitempty"`
	Key          string `json:"key,omitempty"`   // ordering key
	Class        string `json:"class,omitempty"` // what filtered subscriptions choose by
	Payload      string `json:"payload,omitempty"`
	// SHA256 is the hash, in hexadecimal, of data and attributes, without attributes that the broker adds to a dead letter.
	SHA256        string `json:"sha256,omitempty"`
	Bytes         int64  `json:"bytes,omitempty"` // what flow control counts for the message
	MessageID     string `json:"message_id,omitempty"`
	PublishTimeNS int64  `json:"publish_time_ns,omitempty"`
	AckID         string `json:"ack_id,omitempty"`
	Attempt       int    `json:"attempt,omitempty"`     // delivery attempt as the broker reported it, 0 when it did not
	DeadlineNS    int64  `json:"deadline_ns,omitempty"` // length of the lease given by a receive or asked for by an extend
	Detail        string `json:"detail,omitempty"`      // an error's text, a fault's kind

	Config *Config `json:"config,omitempty"`
	Limits *Limits `json:"limits,omitempty"`
}

// Config is what a subscription promises beyond delivery.
type Config struct {
	Ordered         bool   `json:"ordered,omitempty"`
	ExactlyOnce     bool   `json:"exactly_once,omitempty"`
	Class           string `json:"class,omitempty"`             // only messages of this class; empty takes all
	Retained        bool   `json:"retained,omitempty"`          // acknowledged messages are kept for seeks
	Backoff         bool   `json:"backoff,omitempty"`           // a retry policy delays redelivery
	RetentionNS     int64  `json:"retention_ns,omitempty"`      // a message older than that is dropped; 0: later than the run ends
	DeadLetterTopic string `json:"dead_letter_topic,omitempty"` // with AttemptsMax
	AttemptsMax     int    `json:"attempts_max,omitempty"`
}

// Limits is a stream's flow control. Zero or less means none.
type Limits struct {
	Messages int64 `json:"messages,omitempty"`
	Bytes    int64 `json:"bytes,omitempty"`
}

// Read parses JSON lines. It is strict: an unknown field or a broken line is an error that names the line, except that a last line
// without its newline, left by a writer that was killed, is dropped.
func Read(r io.Reader) ([]Event, error) {
	var events []Event
	seen := make(map[string]string)
	lines := bufio.NewReaderSize(r, 1<<20)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return events, nil
		}
		if err != nil {
			return nil, fmt.Errorf("history: line %d: %w", number, err)
		}
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		var e Event
		if err := decoder.Decode(&e); err != nil {
			return nil, fmt.Errorf("history: line %d: %w", number, err)
		}
		share(seen, &e)
		events = append(events, e)
	}
}

// share lets events point to one copy of strings that come again and again: long histories are mostly names.
func share(seen map[string]string, e *Event) {
	for _, s := range []*string{(*string)(&e.Op), (*string)(&e.Phase), &e.Process, &e.Topic, &e.Subscription, &e.Key, &e.Class, &e.Detail} {
		if known, ok := seen[*s]; ok {
			*s = known
		} else {
			seen[*s] = *s
		}
	}
}
