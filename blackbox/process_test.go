package blackbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/posthaste-io/posthaste/chaos/process"
)

func TestHealthIsServedOnTheSamePort(t *testing.T) {
	t.Parallel()
	s := common(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		response, err := http.Get("http://" + s.addr + path)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s, want 200", path, response.Status)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

// fullTopic and fullSubscription have every field that needs no other resource.
func fullTopic(name string) *pb.Topic {
	return &pb.Topic{
		Name:   name,
		Labels: map[string]string{"team": "post", "empty": ""},
		MessageStoragePolicy: &pb.MessageStoragePolicy{
			AllowedPersistenceRegions: []string{"europe-west1", "us-east1"}, EnforceInTransit: true},
		KmsKeyName:               "projects/p/locations/l/keyRings/r/cryptoKeys/k",
		MessageRetentionDuration: &durationpb.Duration{Seconds: 600, Nanos: 500_000_000},
		MessageTransforms: []*pb.MessageTransform{{
			Transform: &pb.MessageTransform_JavascriptUdf{JavascriptUdf: &pb.JavaScriptUDF{
				FunctionName: "same", Code: "function same(message, metadata) { return message; }"}},
			Disabled: true,
		}},
	}
}

func fullSubscription(name, topic, deadLetters string) *pb.Subscription {
	return &pb.Subscription{
		Name: name, Topic: topic,
		AckDeadlineSeconds:        42,
		RetainAckedMessages:       true,
		MessageRetentionDuration:  durationpb.New(48 * time.Hour),
		Labels:                    map[string]string{"colour": "red"},
		EnableMessageOrdering:     true,
		ExpirationPolicy:          &pb.ExpirationPolicy{},
		Filter:                    `attributes.colour = "red"`,
		DeadLetterPolicy:          &pb.DeadLetterPolicy{DeadLetterTopic: deadLetters, MaxDeliveryAttempts: 7},
		RetryPolicy:               &pb.RetryPolicy{MinimumBackoff: durationpb.New(20 * time.Second), MaximumBackoff: durationpb.New(90 * time.Second)},
		EnableExactlyOnceDelivery: true,
	}
}

func TestResourcesSurviveRestarts(t *testing.T) {
	t.Parallel()
	s := own(t)
	letters := s.topic(t, "letters")
	topic, err := s.CreateTopic(limited(t), fullTopic(s.topicName("full")))
	if err != nil {
		t.Fatal(err)
	}
	sub, err := s.sub.CreateSubscription(limited(t), fullSubscription(s.subName("full"), topic.Name, letters))
	if err != nil {
		t.Fatal(err)
	}
	if want := fullSubscription(sub.Name, topic.Name, letters); sub.Filter != want.Filter || !proto.Equal(sub.DeadLetterPolicy, want.DeadLetterPolicy) ||
		!proto.Equal(sub.RetryPolicy, want.RetryPolicy) || !sub.EnableExactlyOnceDelivery || !sub.EnableMessageOrdering || !sub.RetainAckedMessages ||
		!proto.Equal(sub.ExpirationPolicy, want.ExpirationPolicy) || sub.AckDeadlineSeconds != 42 || !maps.Equal(sub.Labels, want.Labels) {
		t.Errorf("creation answered %v", sub)
	}
	if want := fullTopic(topic.Name); !proto.Equal(topic.MessageStoragePolicy, want.MessageStoragePolicy) || topic.KmsKeyName != want.KmsKeyName ||
		!proto.Equal(topic.MessageRetentionDuration, want.MessageRetentionDuration) || len(topic.MessageTransforms) != 1 || !maps.Equal(topic.Labels, want.Labels) {
		t.Errorf("creation answered %v", topic)
	}
	// The fate of a subscription whose topic is deleted, and of deleted names, must survive too.
	orphaned, orphan := s.pair(t, "orphan")
	s.publish(t, orphaned, "last words")
	if _, err := s.DeleteTopic(limited(t), &pb.DeleteTopicRequest{Topic: orphaned}); err != nil {
		t.Fatal(err)
	}
	_, gone := s.pair(t, "gone")
	if _, err := s.sub.DeleteSubscription(limited(t), &pb.DeleteSubscriptionRequest{Subscription: gone}); err != nil {
		t.Fatal(err)
	}
	for _, crash := range []bool{true, false, true} {
		s.restart(t, crash)
		gotTopic, err := s.GetTopic(limited(t), &pb.GetTopicRequest{Topic: topic.Name})
		if err != nil || !proto.Equal(gotTopic, topic) {
			t.Errorf("after a restart (crash %v) the topic is\n %v, %v\nwant\n %v", crash, gotTopic, err, topic)
		}
		gotSub, err := s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub.Name})
		if err != nil || !proto.Equal(gotSub, sub) {
			t.Errorf("after a restart (crash %v) the subscription is\n %v, %v\nwant\n %v", crash, gotSub, err, sub)
		}
		gotOrphan, err := s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: orphan})
		if err != nil || gotOrphan.Topic != "_deleted-topic_" {
			t.Errorf("after a restart (crash %v) the orphan's topic is %q, %v", crash, gotOrphan.GetTopic(), err)
		}
		_, err = s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: gone})
		wantStatus(t, err, codes.NotFound, "")
	}
	if got := dataOf(s.pull(t, orphan, 1)); got[0] != "last words" {
		t.Errorf("the orphan's backlog is %q", got)
	}
}

func TestMessagesAndAcksSurviveRestarts(t *testing.T) {
	t.Parallel()
	s := own(t)
	topic, sub := s.pair(t, "x")
	ids := make(map[string]string) // data by message id
	for i := range 300 {
		data := fmt.Sprint(i)
		ids[s.publish(t, topic, data)[0]] = data
	}
	acked := make(map[string]bool)
	for _, crash := range []bool{true, false, true} {
		got := s.pull(t, sub, 50)
		for _, m := range got {
			if acked[m.Message.MessageId] {
				t.Errorf("message %s came again after its acknowledgement was answered", m.Message.MessageId)
			}
			if data, known := ids[m.Message.MessageId]; !known || data != string(m.Message.Data) {
				t.Errorf("message %s is %q, want %q", m.Message.MessageId, m.Message.Data, data)
			}
			acked[m.Message.MessageId] = true
		}
		s.ack(t, sub, got...)
		s.restart(t, crash)
	}
	for _, m := range s.pull(t, sub, 300-len(acked)) {
		if acked[m.Message.MessageId] {
			t.Errorf("message %s came twice", m.Message.MessageId)
		}
		acked[m.Message.MessageId] = true
	}
	next := s.publish(t, topic, "after")[0]
	if _, used := ids[next]; used {
		t.Errorf("message id %s was given again after a restart", next)
	}
}

func TestAckIDsOfAnEarlierLifeDoNoHarm(t *testing.T) {
	t.Parallel()
	s := own(t)
	topic, sub := s.pair(t, "x")
	s.publish(t, topic, "a")
	before := s.pull(t, sub, 1)
	s.restart(t, true)
	if _, err := s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: sub, AckIds: ackIDs(before)}); err != nil {
		t.Errorf("ack id of before the restart: %v, want it taken in silence", err)
	}
}

func TestStopIsGraceful(t *testing.T) {
	t.Parallel()
	s := own(t)
	topic, sub := s.pair(t, "x")
	first := open(sub)
	first.MaxOutstandingMessages = 1
	st := s.stream(t, first)
	s.publish(t, topic, "0", "1")
	got := st.take(t, 1)
	st.send(t, &pb.StreamingPullRequest{AckIds: []string{got[0].AckId}})
	got = append(got, st.take(t, 1)...) // for which the acknowledgement made room: it was taken in
	waiting := make(chan error, 1)
	_, idle := s.pair(t, "idle")
	ctx := limited(t)
	go func() {
		_, err := s.sub.Pull(ctx, &pb.PullRequest{Subscription: idle, MaxMessages: 1})
		waiting <- err
	}()
	if err := s.broker.Stop(limited(t)); err != nil {
		t.Fatalf("stop with streams open: %v, want status 0", err)
	}
	err := st.end(t)
	wantStatus(t, err, codes.Unavailable, "")
	if strings.Contains(status.Convert(err).Message(), "Server shutdownNow invoked") {
		t.Errorf("stream ended with %v, which clients take for the end of everything", err)
	}
	start(t, s.broker)
	if err := <-waiting; err != nil && status.Code(err) != codes.Unavailable {
		t.Errorf("waiting pull ended with %v, want an empty answer or UNAVAILABLE", err)
	}
	// What was acknowledged before the stop was taken in.
	again := s.pull(t, sub, 1)
	if again[0].Message.MessageId != got[1].Message.MessageId {
		t.Errorf("message %q came after the restart, want %q", again[0].Message.Data, got[1].Message.Data)
	}
	if rest := s.pullNow(t, sub); len(rest) != 0 {
		t.Errorf("%q came as well", dataOf(rest))
	}
}

// contents is every file below dir with a hash of its bytes.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = fmt.Sprintf("%d bytes %x", len(data), sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// refuses starts a broker that must give up with a message that has all the words, and leave its data directory as it is.
func refuses(t *testing.T, b *process.Broker, words ...string) {
	t.Helper()
	before := contents(t, b.Data)
	ended, output := attempt(t, b)
	if !ended {
		t.Errorf("it started, want a refusal")
		return
	}
	for _, word := range words {
		if !strings.Contains(output, word) {
			t.Errorf("it said %q, want %q in it", output, word)
		}
	}
	if after := contents(t, b.Data); !maps.Equal(before, after) {
		t.Errorf("the data directory changed from\n%v\nto\n%v", before, after)
	}
}

// attempt starts a broker and says whether it gave up, which it must do with a status other than 0. One that did not runs on.
func attempt(t *testing.T, b *process.Broker) (ended bool, output string) {
	t.Helper()
	log := new(process.Log)
	b.Log = log
	if err := b.Launch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Kill(); err != nil {
			t.Error(err)
		}
		if alarm := log.Alarm(); alarm != "" {
			t.Errorf("it has a defect: %s", alarm)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.Ready(ctx); err == nil {
		return false, log.String()
	}
	if ctx.Err() != nil {
		t.Fatalf("it neither started nor gave up: %s", log)
	}
	if err := b.Wait(ctx); err == nil {
		t.Errorf("it gave up with status 0: %s", log)
	}
	return true, log.String()
}

func TestSecondInstanceIsRefused(t *testing.T) {
	t.Parallel()
	s := own(t)
	topic, sub := s.pair(t, "x")
	addr, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	s.freeze(t) // it prepares files in its own time
	refuses(t, &process.Broker{Addr: addr, Data: s.broker.Data}, s.broker.Data)
	if err := s.broker.Resume(); err != nil {
		t.Fatal(err)
	}
	s.publish(t, topic, "still well")
	if got := dataOf(s.pull(t, sub, 1)); got[0] != "still well" {
		t.Errorf("%q came", got)
	}
}

// freeze pauses the broker and waits until each of its threads stands still: one may be in the middle of a call.
func (s *server) freeze(t *testing.T) {
	t.Helper()
	if err := s.broker.Pause(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all threads stand still", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.broker.Pid()))
		if err != nil || len(threads) == 0 {
			t.Fatalf("the broker's threads: %v, %v", threads, err)
		}
		return !slices.ContainsFunc(threads, func(path string) bool {
			text, err := os.ReadFile(path)
			return err == nil && !bytes.Contains(text, []byte(") T ")) // else it ended meanwhile
		})
	})
}

func TestPortInUseIsRefused(t *testing.T) {
	t.Parallel()
	s := own(t)
	second := ownBroker(t)
	second.Addr = s.addr
	if err := os.MkdirAll(second.Data, 0o755); err != nil {
		t.Fatal(err)
	}
	log := new(process.Log)
	second.Log = log
	if err := second.Launch(); err != nil {
		t.Fatal(err)
	}
	ctx := limited(t)
	if err := second.Wait(ctx); err == nil || ctx.Err() != nil || !strings.Contains(log.String(), s.addr) {
		t.Errorf("it ended with %v and said %q, want a refusal that names %s", err, log, s.addr)
	}
}

func TestForeignDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	b := ownBroker(t)
	if err := os.MkdirAll(b.Data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.Data, "holiday.jpg"), []byte("not a message"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, b, "holiday.jpg")
}

func TestDataPathThatIsAFileIsRefused(t *testing.T) {
	t.Parallel()
	b := ownBroker(t)
	if err := os.WriteFile(b.Data, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, b, b.Data)
}

// stored is what a stopped broker's data directory holds.
type stored struct {
	dir  string
	sub  string
	data []string // of the messages
}

// store fills a data directory with messages, in segments and checkpoints of two lives.
func store(t *testing.T) *stored {
	t.Helper()
	s := own(t, "--segment-size", "32MiB")
	topic, sub := s.pair(t, "x")
	kept := &stored{dir: s.broker.Data, sub: sub}
	for life := range 3 {
		for i := range 20 {
			data := strings.Repeat(fmt.Sprintf("message %d of life %d ", i, life), 500)
			s.publish(t, topic, data)
			kept.data = append(kept.data, data)
		}
		if life < 2 {
			s.restart(t, life == 1)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.broker.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	slices.Sort(kept.data)
	return kept
}

// copyOf is a broker on a copy of the data directory.
func (k *stored) copyOf(t *testing.T) *process.Broker {
	t.Helper()
	b := ownBroker(t, "--segment-size", "32MiB")
	if err := os.CopyFS(b.Data, os.DirFS(k.dir)); err != nil {
		t.Fatal(err)
	}
	return b
}

// whole checks that a running broker has everything.
func (k *stored) whole(t *testing.T, b *process.Broker) {
	t.Helper()
	s := connect(t, b.Addr, b)
	got := dataOf(s.pull(t, k.sub, len(k.data)))
	slices.Sort(got)
	if !slices.Equal(got, k.data) {
		t.Error("the messages are not those that were stored")
	}
}

// TestDamageIsRefusedOrHarmless damages each file in turn. The broker must name the file, and then either give up and leave everything as
// it is, or, where another file holds the same, start with nothing missing.
func TestDamageIsRefusedOrHarmless(t *testing.T) {
	t.Parallel()
	kept := store(t)
	damages := []struct {
		name string
		do   func(data []byte) []byte
	}{
		{"first bytes changed", func(data []byte) []byte {
			for i := range min(64, len(data)) {
				data[i] ^= 0x55
			}
			return data
		}},
		{"one bit flipped", func(data []byte) []byte {
			// In the middle of what is written: space set aside behind it holds zeros, which nobody misses.
			written := bytes.TrimRight(data, "\x00")
			middle := len(written) / 2
			middle += max(0, bytes.IndexFunc(written[middle:], func(r rune) bool { return r != 0 }))
			data[middle] ^= 4
			return data
		}},
		{"emptied", func([]byte) []byte { return nil }},
		{"cut in half", func(data []byte) []byte { return data[:len(data)/2] }},
	}
	for _, path := range slices.Sorted(maps.Keys(contents(t, kept.dir))) {
		name := filepath.Base(path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			continue // a lock file holds nothing that could be damaged
		}
		for _, damage := range damages {
			t.Run(name+" "+damage.name, func(t *testing.T) {
				b := kept.copyOf(t)
				if err := os.WriteFile(filepath.Join(b.Data, name), damage.do(slices.Clone(data)), 0o600); err != nil {
					t.Fatal(err)
				}
				kept.survives(t, b, name)
			})
		}
		t.Run(name+" removed", func(t *testing.T) {
			b := kept.copyOf(t)
			if err := os.Remove(filepath.Join(b.Data, name)); err != nil {
				t.Fatal(err)
			}
			kept.survives(t, b, name)
		})
	}
	t.Run("nothing", func(t *testing.T) {
		b := kept.copyOf(t)
		start(t, b)
		kept.whole(t, b)
	})
}

// survives checks what a broker does about one damaged or missing file.
func (k *stored) survives(t *testing.T, b *process.Broker, name string) {
	t.Helper()
	before := contents(t, b.Data)
	ended, output := attempt(t, b)
	if !strings.Contains(output, name) {
		t.Errorf("it did not name the file: %s", output)
	}
	if !ended {
		k.whole(t, b)
		return
	}
	if after := contents(t, b.Data); !maps.Equal(before, after) {
		t.Errorf("it gave up and left a changed data directory\n%v\nwhich was\n%v", after, before)
	}
}
