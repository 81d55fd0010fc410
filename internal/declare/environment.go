package declare

import (
	"fmt"
	"strconv"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/catalog"
)

// environmentPrefix begins the variables that popular images of Google's emulator understand.
const environmentPrefix = "PUBSUB_PROJECT"

// FromEnvironment reads PUBSUB_PROJECT1, PUBSUB_PROJECT2 and so on up to the first that is not set. Each is a project, then topics after
// commas, each with its subscriptions after colons. A subscription with a plus sign is pushed to the endpoint behind it, a URL or HOST:PORT
// with an optional path; # and | stand for a colon, as in images that cannot have one there.
//
//	PUBSUB_PROJECT1=shop,orders:billing:shipping+warehouse:8080/push,events
func FromEnvironment(lookup func(string) (string, bool)) (*Resources, error) {
	declared := new(Resources)
	for n := 1; ; n++ {
		name := environmentPrefix + strconv.Itoa(n)
		text, given := lookup(name)
		if !given || strings.TrimSpace(text) == "" {
			return declared, nil
		}
		if err := declared.addLine(text); err != nil {
			return nil, fmt.Errorf("%s: %w; allowed: PROJECT,TOPIC:SUBSCRIPTION:SUBSCRIPTION+ENDPOINT,TOPIC", name, err)
		}
	}
}

// addLine adds what one variable declares.
func (r *Resources) addLine(line string) error {
	project, rest, _ := strings.Cut(line, ",")
	project = strings.TrimSpace(project)
	if _, err := catalog.ParseProject("projects/" + project); err != nil {
		return fmt.Errorf("%q is no project id", project)
	}
	r.projects = append(r.projects, project)
	for list := range strings.SplitSeq(rest, ",") {
		list = strings.TrimSpace(list)
		if list == "" {
			continue
		}
		pieces := pieces(list)
		topic := "projects/" + project + "/topics/" + pieces[0]
		if err := r.addTopic(topic); err != nil {
			return err
		}
		for _, piece := range pieces[1:] {
			if err := r.addSubscription(project, topic, piece); err != nil {
				return err
			}
		}
	}
	return nil
}

// pieces cuts a topic and its subscriptions apart at the colons, except those of an endpoint: before // and before a port.
func pieces(list string) []string {
	var all []string
	for piece := range strings.SplitSeq(list, ":") {
		last := len(all) - 1
		if last > 0 && strings.Contains(all[last], "+") && (strings.HasPrefix(piece, "//") || piece != "" && '0' <= piece[0] && piece[0] <= '9') {
			all[last] += ":" + piece
			continue
		}
		all = append(all, strings.TrimSpace(piece))
	}
	return all
}

func (r *Resources) addTopic(name string) error {
	topic := &pubsubpb.Topic{Name: name}
	if _, err := catalog.NewTopic(topic); err != nil {
		return fmt.Errorf("%s", status.Convert(err).Message())
	}
	r.Topics = addOnce(r.Topics, topic)
	return nil
}

func (r *Resources) addSubscription(project, topic, piece string) error {
	id, endpoint, pushed := strings.Cut(piece, "+")
	s := &pubsubpb.Subscription{Name: "projects/" + project + "/subscriptions/" + id, Topic: topic}
	if pushed {
		endpoint = strings.NewReplacer("#", ":", "|", ":").Replace(endpoint)
		if !strings.Contains(endpoint, "://") {
			endpoint = "http://" + endpoint
		}
		s.PushConfig = &pubsubpb.PushConfig{PushEndpoint: endpoint}
	}
	if _, err := subscriptionKind.settle(s); err != nil {
		return fmt.Errorf("%s", status.Convert(err).Message())
	}
	r.Subscriptions = addOnce(r.Subscriptions, s)
	return nil
}

// addOnce appends a resource unless one of its name is there: the first one counts.
func addOnce[R resource](all []R, r R) []R {
	for _, other := range all {
		if other.GetName() == r.GetName() {
			return all
		}
	}
	return append(all, r)
}
