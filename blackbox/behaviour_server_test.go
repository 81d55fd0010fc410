package blackbox

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/iam/apiv1/iampb"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/posthaste-io/posthaste/chaos/process"
)

func keptOverACrash(t *testing.T, _ []string) {
	s := own(t)
	topic, sub := s.pair(t, "x")
	s.publish(t, topic, "a", "b")
	s.restart(t, true)
	if got := dataOf(s.pull(t, sub, 2)); !slices.Contains(got, "a") || !slices.Contains(got, "b") {
		t.Errorf("%q came", got)
	}
}

func everybodyMayDoEverything(t *testing.T, _ []string) {
	s := common(t)
	topic := s.topic(t, "topic")
	policy := &iampb.Policy{Bindings: []*iampb.Binding{{Role: "roles/pubsub.viewer", Members: []string{"user:somebody@example.com"}}}}
	if _, err := s.policies(t).SetIamPolicy(limited(t), &iampb.SetIamPolicyRequest{Resource: topic, Policy: policy}); err != nil {
		t.Error(err)
	}
	ask := []string{"pubsub.topics.delete", "pubsub.topics.publish", "pubsub.topics.setIamPolicy"}
	held, err := s.policies(t).TestIamPermissions(limited(t), &iampb.TestIamPermissionsRequest{Resource: topic, Permissions: ask})
	if err != nil || len(held.Permissions) != len(ask) {
		t.Errorf("held: %v, %v", held, err)
	}
	s.publish(t, topic, "without credentials")
	for _, header := range []string{"", "Bearer nonsense", "Basic Og=="} {
		response, text := s.rest(t, "POST", "/v1/"+topic+":publish", `{"messages":[{"data":"eA=="}]}`, "Authorization", header, "Content-Type", "application/json")
		if response.StatusCode != http.StatusOK {
			t.Errorf("authorization %q: %s %s", header, response.Status, text)
		}
	}
	if _, err := s.DeleteTopic(limited(t), &pb.DeleteTopicRequest{Topic: topic}); err != nil {
		t.Error(err)
	}
}

func anyProject(t *testing.T, _ []string) {
	s := common(t)
	for _, project := range []string{"p", "123456789012", "example.com:thing", "With-Capitals", s.project} {
		name := "projects/" + project + "/topics/t" + strconv.FormatInt(time.Now().UnixNano(), 10)
		if _, err := s.CreateTopic(limited(t), &pb.Topic{Name: name}); err != nil {
			t.Errorf("%s: %v", project, err)
		}
		s.publish(t, name, "x")
		if _, err := s.DeleteTopic(limited(t), &pb.DeleteTopicRequest{Topic: name}); err != nil {
			t.Error(err)
		}
	}
}

// noQuotas goes above the service's quotas of a key, 1 MB a second, and of administration, 100 calls a second.
func noQuotas(t *testing.T, _ []string) {
	s := common(t)
	topic := s.topic(t, "topic")
	began := time.Now()
	for range 5 {
		r := &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: make([]byte, 3_000_000), OrderingKey: "k"}}}
		if _, err := s.Publish(limited(t), r); err != nil {
			t.Fatal(err)
		}
	}
	for range 500 {
		if _, err := s.ListTopics(limited(t), &pb.ListTopicsRequest{Project: s.parent()}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("15 MB and 500 calls took %v", time.Since(began))
}

// sizeOfPull also sees to it that an answer is full when there is enough.
func sizeOfPull(t *testing.T, said []string) {
	count, size := figure(t, said[1]), figure(t, said[2])
	s := common(t)
	topic, sub := s.pair(t, "x")
	for range 2 {
		data := make([]string, count)
		for i := range data {
			data[i] = fmt.Sprint("message ", i)
		}
		s.publish(t, topic, data...)
	}
	answer, err := s.sub.Pull(limited(t), &pb.PullRequest{Subscription: sub, MaxMessages: int32(5 * count)})
	if err != nil || len(answer.ReceivedMessages) != count {
		t.Errorf("pull of %d answered %d messages, %v; want %d", 5*count, len(answer.GetReceivedMessages()), err, count)
	}
	big, bigSub := s.pair(t, "big")
	for range 4 {
		r := &pb.PublishRequest{Topic: big, Messages: []*pb.PubsubMessage{{Data: make([]byte, size/5*2)}}}
		if _, err := s.Publish(limited(t), r); err != nil {
			t.Fatal(err)
		}
	}
	answer, err = s.sub.Pull(limited(t), immediately(bigSub, int32(count)))
	if n := len(answer.GetReceivedMessages()); err != nil || n < 1 || n > 2 {
		t.Errorf("pull of 4 messages of %d bytes answered %d of them, %v; want 1 or 2", size/5*2, n, err)
	}
}

func partsOfAnswers(t *testing.T, said []string) {
	s := common(t)
	for _, id := range []string{"first", "second"} {
		s.good(t, "PUT", "/v1/"+s.topicName(id), `{"labels":{"env":"test","other":"x"},"messageRetentionDuration":"3600s"}`)
	}
	_, text := s.rest(t, "GET", "/v1/"+s.parent()+"/topics?prettyPrint=false&fields="+said[1], "")
	one := func(id string) string { return `{"name":"` + s.topicName(id) + `","labels":{"env":"test"}}` }
	if got, want := strings.ReplaceAll(strings.TrimSpace(text), ", ", ","), `{"topics":[`+one("first")+","+one("second")+`]}`; got != want {
		t.Errorf("answered %s\n    want %s", got, want)
	}
	s.refused(t, "GET", "/v1/"+s.topicName("first")+"?fields=colour", "", http.StatusBadRequest, said[2],
		"Error expanding 'fields' parameter. Cannot find matching fields for path 'colour'.")
}

func noReflection(t *testing.T, _ []string) {
	s := common(t)
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for _, version := range []string{"v1", "v1alpha"} {
		err := conn.Invoke(limited(t), "/grpc.reflection."+version+".ServerReflection/ServerReflectionInfo", &emptypb.Empty{}, &emptypb.Empty{})
		wantStatus(t, err, codes.Unimplemented, "")
	}
}

func rootAnswers(t *testing.T, said []string) {
	response, text := common(t).rest(t, "GET", "/", "")
	if response.StatusCode != http.StatusOK || strings.TrimSpace(text) != said[1] {
		t.Errorf("%s %q", response.Status, text)
	}
}

// readySoon takes the best of some starts: the machine that runs tests has other things to do. How busy it is shows in how long a command
// takes that says the version and ends; a start is as much work as a few of them.
func readySoon(t *testing.T, said []string) {
	seconds, err := strconv.ParseFloat(said[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	binary, err := process.Binary() // which is built now, if nobody needed it before
	if err != nil {
		t.Fatal(err)
	}
	const commandsMax = 4
	best := time.Hour
	for range 10 {
		b := ownBroker(t)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		began := time.Now()
		if err := exec.CommandContext(ctx, binary, "version").Run(); err != nil {
			t.Fatal(err)
		}
		busy := commandsMax * time.Since(began)
		began = time.Now()
		if err := b.Start(ctx); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(began)-busy)
		err := b.Stop(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if best.Seconds() < seconds {
			return
		}
	}
	t.Errorf("ready %v after what %d commands take, at best", best, commandsMax)
}
