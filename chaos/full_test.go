package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/chaos/process"
	"github.com/posthaste-io/posthaste/check"
)

const (
	diskBytes       = 256 << 20
	fullMessage     = 64 << 10
	fullPerCall     = 8
	recoverWithin   = 30 * time.Second
	fullSegments    = "32MiB"
	fullReserve     = "64MiB"
	fullCallsMax    = 2 * diskBytes / (fullMessage * fullPerCall) // more would not fit: the refusal must have come before
	fullTopic       = "projects/full/topics/goods"
	fullStore       = "projects/full/subscriptions/store"
	fullSuperfluous = "projects/full/subscriptions/superfluous"
)

// disk is a small file system of the test's own.
type disk struct{ dir string }

// mountDisk makes a file system of diskBytes: ext4 on a loop device where that can be had, else in memory. Without the right to mount
// there is nothing to test.
func mountDisk(t *testing.T) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("filling a disk needs one of the test's own, and only root may mount it")
	}
	dir := t.TempDir()
	image := filepath.Join(t.TempDir(), "disk.img")
	err := mountImage(image, dir)
	if err != nil {
		t.Logf("no ext4 on a loop device (%v); taking memory", err)
		out, mountErr := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprint("size=", diskBytes), "tmpfs", dir).CombinedOutput()
		if mountErr != nil {
			if os.Getenv("CI") == "true" && !strings.Contains(string(out), "permission denied") && !errors.Is(mountErr, exec.ErrNotFound) {
				t.Fatalf("mount: %v: %s", mountErr, out)
			}
			t.Skipf("this system lets nobody mount: %v: %s", mountErr, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return &disk{dir}
}

func mountImage(image, dir string) error {
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskBytes), f.Close()); err != nil {
		return err
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", args[0], err, out)
		}
	}
	return nil
}

// free is how many bytes the disk has left.
func (d *disk) free(t *testing.T) int64 {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

// ballast takes all of the disk but leave bytes, as another program on it might.
func (d *disk) ballast(t *testing.T, leave int64) (remove func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(d.dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 1<<20)
	for d.free(t) > leave+int64(len(piece)) {
		if _, err := f.Write(piece); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil { // or the file system counts the space later
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
}

// fullRun is a broker on a small disk with one publisher and one reader.
type fullRun struct {
	*load
	disk      *disk
	broker    *process.Broker
	publisher *publisher
	reader    *subscriber
	waiting   int // messages that the reader has yet to get
}

func TestDiskFull(t *testing.T) {
	d := mountDisk(t)
	s := seed(t)
	b := newBroker(t, "--segment-size", fullSegments, "--free-space-reserve", fullReserve)
	b.Data = filepath.Join(d.dir, "data")
	ready(t, b)
	// The broker must be gone before its disk is.
	t.Cleanup(func() {
		if err := b.Kill(); err != nil {
			t.Error(err)
		}
	})
	l := newLoad(t, b.Addr, s)
	store := plan{name: fullStore, topic: fullTopic}
	l.create([]string{fullTopic}, []plan{store})
	l.draining.Store(true) // the reader acknowledges whatever it gets
	r := &fullRun{load: l, disk: d, broker: b,
		publisher: &publisher{load: l, name: "publisher", topic: fullTopic, random: l.random("publisher")},
		reader:    &subscriber{load: l, plan: store, name: "reader", random: l.random("reader")},
	}
	for round := range *roundsFlag {
		r.givesBack(t)
		r.fill(t)
		r.worksWhileFull(t)
		if round%2 == 1 {
			r.crashWhileFull(t)
		}
		r.consume(t)
		r.recovers(t, "its messages were acknowledged")
		r.consume(t)
		r.ballastRound(t)
	}
	l.history.Record(check.Event{Process: "admin", Op: check.OpDrain, Phase: check.PhaseOK})
	if strings.Contains(fmt.Sprint(b.Log), "no space left on device") {
		t.Errorf("the broker ran into the end of the disk")
	}
	o := tolerance(0)
	o.Bitten = -1 // the crashes hit a broker at rest
	l.judge(o)
}

// publish publishes once. A refusal must be the right one.
func (r *fullRun) publish(t *testing.T) (accepted bool) {
	t.Helper()
	err := r.publisher.publish(fullPerCall, fullMessage)
	switch status.Code(err) {
	case codes.OK:
		r.waiting += fullPerCall
		return true
	case codes.ResourceExhausted:
		return false
	default:
		t.Fatalf("publish: %v, want RESOURCE_EXHAUSTED when the disk is nearly full", err)
		return false
	}
}

// fill publishes until it is refused.
func (r *fullRun) fill(t *testing.T) {
	t.Helper()
	for calls := 0; r.publish(t); calls++ {
		if calls > fullCallsMax {
			t.Fatal("publishes are taken that cannot fit on the disk")
		}
	}
	if r.waiting < fullPerCall*4 {
		t.Errorf("only %d messages were taken by an empty disk", r.waiting)
	}
	t.Logf("refused with %d messages stored and %d MiB free", r.waiting, r.disk.free(t)>>20)
	if r.disk.free(t) == 0 {
		t.Error("the disk is full to the last byte, want a refusal before that")
	}
}

// worksWhileFull checks that whatever frees space is still taken.
func (r *fullRun) worksWhileFull(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	subs := pb.NewSubscriberClient(r.conn)
	if _, err := subs.CreateSubscription(ctx, &pb.Subscription{Name: fullSuperfluous, Topic: fullTopic}); err != nil {
		t.Errorf("create a subscription on a full disk: %v", err)
	}
	if _, err := subs.DeleteSubscription(ctx, &pb.DeleteSubscriptionRequest{Subscription: fullSuperfluous}); err != nil {
		t.Errorf("delete a subscription on a full disk: %v", err)
	}
	r.pull(t)
}

// crashWhileFull kills the broker and starts it on the full disk.
func (r *fullRun) crashWhileFull(t *testing.T) {
	t.Helper()
	fault := check.Event{Process: "faults", Op: check.OpFault, Phase: check.PhaseInvoke, Call: r.publisher.call, Detail: "kill on a full disk"}
	r.history.Record(fault)
	if err := r.broker.Kill(); err != nil {
		t.Fatal(err)
	}
	ready(t, r.broker)
	fault.Phase = check.PhaseOK
	r.history.Record(fault)
}

// givesBack waits until the log has only the segment that is written to and the one that comes next. Spare files do not count: they go
// when the space is wanted.
func (r *fullRun) givesBack(t *testing.T) {
	t.Helper()
	limit := time.Now().Add(recoverWithin)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		segments, err := filepath.Glob(filepath.Join(r.broker.Data, "seg-*"))
		if err != nil || len(segments) == 0 {
			t.Fatalf("the log's segments: %d found, %v", len(segments), err)
		}
		if len(segments) <= 2 {
			return
		}
		<-tick.C
		if time.Now().After(limit) {
			t.Fatalf("all was acknowledged, but the log still has %d segments %v later", len(segments), recoverWithin)
		}
	}
}

// pull takes some messages and acknowledges them.
func (r *fullRun) pull(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	answer, err := pb.NewSubscriberClient(r.conn).Pull(ctx, &pb.PullRequest{Subscription: fullStore, MaxMessages: 1000}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatalf("pull: %v", err)
	}
	r.reader.record("reader", answer.ReceivedMessages)
	r.reader.acknowledge("reader", answer.ReceivedMessages)
	r.waiting -= len(answer.ReceivedMessages)
}

// consume takes all messages.
func (r *fullRun) consume(t *testing.T) {
	t.Helper()
	for limit := time.Now().Add(2 * recoverWithin); r.waiting > 0; {
		r.pull(t)
		if time.Now().After(limit) {
			t.Fatalf("%d accepted messages did not come", r.waiting)
		}
	}
}

// recovers waits until publishes are taken again.
func (r *fullRun) recovers(t *testing.T, since string) {
	t.Helper()
	begin := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !r.publish(t) {
		<-tick.C
		if time.Since(begin) > recoverWithin {
			t.Fatalf("publishes are still refused %v after %s, with %d MiB free", recoverWithin, since, r.disk.free(t)>>20)
		}
	}
	t.Logf("taken again %v after %s", time.Since(begin).Round(time.Millisecond), since)
}

// ballastRound lets another program take the disk and give it back.
func (r *fullRun) ballastRound(t *testing.T) {
	t.Helper()
	remove := r.disk.ballast(t, 8<<20)
	limit := time.Now().Add(recoverWithin)
	for r.publish(t) {
		r.consume(t)
		if time.Now().After(limit) {
			t.Fatal("publishes are taken although another program has taken the disk")
		}
	}
	remove()
	r.recovers(t, "another program gave the disk back")
	r.consume(t)
}
