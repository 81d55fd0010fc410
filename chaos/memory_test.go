package chaos

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/chaos/process"
)

const (
	memorySmall      = 100       // bytes of a small message
	memoryLargeBytes = 9_900_000 // of a large one: the most that a request takes, less what wraps it
	memoryPerCall    = 1000
	memoryPublishers = 4
	memorySampleEach = 20 * time.Millisecond
	memoryWithin     = 10 * time.Minute // any stage
	memoryWaiting    = "projects/memory/subscriptions/waiting"
	memoryOut        = "projects/memory/subscriptions/out"
	memoryHuge       = "projects/memory/subscriptions/huge"
)

// memoryRun is a broker with little memory.
type memoryRun struct {
	pb.PublisherClient
	pb.SubscriberClient
	broker *process.Broker
}

// TestMemoryPressure gives the broker more messages that wait, more that are out and more large ones at once than its memory holds. It must
// neither die nor take more than the limit, refuse with RESOURCE_EXHAUSTED only, and work afterwards.
//
// The garbage collector is told 7/8 of the limit, as whoever runs the broker in a container would. The limit itself is enforced where the
// test may make a control group (version 2); elsewhere the broker's memory is measured only.
func TestMemoryPressure(t *testing.T) {
	b := newBroker(t)
	b.Env = []string{fmt.Sprintf("GOMEMLIMIT=%dMiB", *memoryLimit*7/8)}
	ready(t, b)
	group := confine(t, b)
	conn := dial(t, b.Addr)
	r := &memoryRun{PublisherClient: pb.NewPublisherClient(conn), SubscriberClient: pb.NewSubscriberClient(conn), broker: b}
	for _, name := range []string{memoryWaiting, memoryOut, memoryHuge} {
		if _, err := r.CreateTopic(t.Context(), &pb.Topic{Name: topicOf(name)}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.CreateSubscription(t.Context(), &pb.Subscription{Name: name, Topic: topicOf(name), AckDeadlineSeconds: 600}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), memoryWithin)
	defer cancel()
	peak := watch(t, b)
	r.fill(ctx, t, memoryWaiting, *memoryBacklog)
	t.Logf("%d messages of %d bytes wait: at most %d MiB", *memoryBacklog, memorySmall, peak.Load())
	r.fill(ctx, t, memoryOut, *memoryHeld)
	held := r.hold(ctx, t, *memoryHeld)
	t.Logf("%d messages are out: at most %d MiB", len(held), peak.Load())
	accepted, refused := r.large(ctx, t)
	t.Logf("%d messages of 10 MB came at once, %d were taken and %d refused: at most %d MiB", *memoryLarge, accepted, refused, peak.Load())
	r.readLarge(ctx, t, accepted)
	r.worksOn(ctx, t, held)
	t.Logf("at most %d MiB resident, %d MiB by the system's own count, of %d MiB", peak.Load(), statusMiB(t, b, "VmHWM:"), *memoryLimit)
	if most := max(int(peak.Load()), statusMiB(t, b, "VmHWM:")); most > *memoryLimit {
		t.Errorf("the broker took %d MiB, more than %d MiB", most, *memoryLimit)
	}
	group.killedNobody(t)
}

func topicOf(subscription string) string {
	return "projects/memory/topics/" + filepath.Base(subscription)
}

// watch samples the broker's resident memory until the test ends.
func watch(t *testing.T, b *process.Broker) *atomic.Int64 {
	var peak atomic.Int64
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(memorySampleEach)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-b.Done():
				t.Error("the broker died")
				return
			case <-tick.C:
				peak.Store(max(peak.Load(), int64(statusMiB(t, b, "VmRSS:"))))
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		done.Wait()
	})
	return &peak
}

// fill publishes small messages.
func (r *memoryRun) fill(ctx context.Context, t *testing.T, subscription string, count int) {
	t.Helper()
	request := &pb.PublishRequest{Topic: topicOf(subscription)}
	for i := range memoryPerCall {
		request.Messages = append(request.Messages, &pb.PubsubMessage{Data: fmt.Appendf(nil, "%0*d", memorySmall, i)})
	}
	var calls atomic.Int64
	var all sync.WaitGroup
	for range memoryPublishers {
		all.Go(func() {
			for calls.Add(1) <= int64(count/memoryPerCall) {
				_, err := r.Publish(ctx, request)
				for ; status.Code(err) == codes.ResourceExhausted; _, err = r.Publish(ctx, request) {
					time.Sleep(10 * time.Millisecond) // as clients do when they are refused
				}
				if err != nil {
					t.Errorf("publish: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// hold takes messages and keeps them. It returns their ack ids.
func (r *memoryRun) hold(ctx context.Context, t *testing.T, count int) (ids []string) {
	t.Helper()
	st, err := r.StreamingPull(t.Context()) // which outlives this call: its end would give everything back
	if err == nil {
		err = st.Send(&pb.StreamingPullRequest{Subscription: memoryOut, StreamAckDeadlineSeconds: 600})
	}
	for err == nil && len(ids) < count && ctx.Err() == nil {
		var response *pb.StreamingPullResponse
		if response, err = st.Recv(); err == nil {
			for _, m := range response.ReceivedMessages {
				ids = append(ids, m.AckId)
			}
		}
	}
	if err != nil || ctx.Err() != nil {
		t.Fatalf("stream, after %d messages: %v", len(ids), err)
	}
	return ids
}

// large publishes large messages, all at the same time.
func (r *memoryRun) large(ctx context.Context, t *testing.T) (accepted, refused int) {
	t.Helper()
	outcomes := make([]error, *memoryLarge)
	var all sync.WaitGroup
	for i := range outcomes {
		all.Go(func() {
			data := bytes.Repeat([]byte{byte(i)}, memoryLargeBytes)
			_, outcomes[i] = r.Publish(ctx, &pb.PublishRequest{Topic: topicOf(memoryHuge), Messages: []*pb.PubsubMessage{{Data: data}}})
		})
	}
	all.Wait()
	for _, err := range outcomes {
		switch status.Code(err) {
		case codes.OK:
			accepted++
		case codes.ResourceExhausted:
			refused++
		default:
			t.Errorf("publish of 10 MB: %v, want it to be taken or RESOURCE_EXHAUSTED", err)
		}
	}
	return accepted, refused
}

// readLarge receives the large messages, on several streams at once.
func (r *memoryRun) readLarge(ctx context.Context, t *testing.T, count int) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var got atomic.Int64
	var all sync.WaitGroup
	for range memoryPublishers {
		all.Go(func() {
			st, err := r.StreamingPull(ctx)
			if err == nil {
				err = st.Send(&pb.StreamingPullRequest{Subscription: memoryHuge, StreamAckDeadlineSeconds: 600})
			}
			for err == nil {
				var response *pb.StreamingPullResponse
				if response, err = st.Recv(); err != nil {
					break
				}
				request := new(pb.StreamingPullRequest)
				for _, m := range response.ReceivedMessages {
					request.AckIds = append(request.AckIds, m.AckId)
					if d := m.Message.Data; len(d) != memoryLargeBytes || len(bytes.Trim(d, string(d[:1]))) > 0 {
						t.Errorf("a message of %d bytes came back altered", len(d))
					}
				}
				if got.Add(int64(len(request.AckIds))) >= int64(count) {
					cancel()
				}
				err = st.Send(request)
			}
		})
	}
	all.Wait()
	if got.Load() < int64(count) {
		t.Fatalf("%d of %d large messages came", got.Load(), count)
	}
}

// worksOn checks that the leases of all that is out stand, that what waits comes, and that new messages are taken.
func (r *memoryRun) worksOn(ctx context.Context, t *testing.T, held []string) {
	t.Helper()
	for ids := range slices.Chunk(held, 5000) {
		if _, err := r.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: memoryOut, AckIds: ids}); err != nil {
			t.Fatalf("acknowledge: %v", err)
		}
	}
	r.fill(ctx, t, memoryOut, memoryPerCall)
	for got := 0; got < 10*memoryPerCall; {
		answer, err := r.Pull(ctx, &pb.PullRequest{Subscription: memoryWaiting, MaxMessages: 1000})
		if err != nil {
			t.Fatalf("pull, after %d messages: %v", got, err)
		}
		got += len(answer.ReceivedMessages)
	}
}

// statusMiB is a field of the broker's /proc status, in MiB; 0 where there is none, as on other systems or for a process that has ended.
func statusMiB(t *testing.T, b *process.Broker, field string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.Pid()))
	if err != nil {
		return 0
	}
	_, rest, found := strings.Cut(string(text), field)
	if !found {
		return 0
	}
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Error(err)
	}
	return kib >> 10
}

// controlGroup is one of the test's own; empty where there can be none.
type controlGroup string

// controlGroups is where version 2 is mounted.
const controlGroups = "/sys/fs/cgroup"

// confine puts the broker into a control group of version 2 with the memory limit.
func confine(t *testing.T, b *process.Broker) controlGroup {
	t.Helper()
	controllers, err := os.ReadFile(filepath.Join(controlGroups, "cgroup.subtree_control"))
	if err != nil || !strings.Contains(string(controllers), "memory") {
		t.Logf("no control groups of version 2 with a memory controller here (%v): the limit is NOT enforced, only measured", err)
		return ""
	}
	dir := filepath.Join(controlGroups, fmt.Sprintf("posthaste-chaos-%d", b.Pid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Logf("no control group can be made (%v): the limit is NOT enforced, only measured", err)
		return ""
	}
	t.Cleanup(func() {
		if err := b.Kill(); err != nil { // a group with a process in it cannot be removed
			t.Error(err)
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	for file, text := range map[string]string{"memory.max": strconv.Itoa(*memoryLimit << 20), "cgroup.procs": strconv.Itoa(b.Pid())} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	return controlGroup(dir)
}

// killedNobody checks that the system did not have to kill for want of memory.
func (g controlGroup) killedNobody(t *testing.T) {
	t.Helper()
	if g == "" {
		return
	}
	events, err := os.ReadFile(filepath.Join(string(g), "memory.events"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(events), "oom_kill 0\n") {
		t.Errorf("the system killed for want of memory:\n%s", events)
	}
}
