package declare

import (
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

func fromEnvironment(variables ...string) (*Resources, error) {
	set := make(map[string]string)
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		set[name] = value
	}
	return FromEnvironment(func(name string) (string, bool) { value, given := set[name]; return value, given })
}

// lines renders declared resources: topics, then subscriptions with what they are attached to.
func lines(r *Resources) string {
	var all []string
	for _, topic := range r.Topics {
		all = append(all, topic.Name)
	}
	for _, s := range r.Subscriptions {
		line := s.Name + "<" + s.Topic[strings.LastIndexByte(s.Topic, '/')+1:]
		if s.PushConfig != nil {
			line += ">" + s.PushConfig.PushEndpoint
		}
		all = append(all, line)
	}
	return strings.ReplaceAll(strings.Join(all, " "), "projects/", "")
}

func TestVariablesOfEmulatorImages(t *testing.T) {
	for _, c := range []struct {
		name, want string
		variables  []string
	}{
		{"none", "", nil},
		{"project alone", "", []string{"PUBSUB_PROJECT1=shop"}},
		{"topics and subscriptions", "shop/topics/invoices shop/topics/chats shop/topics/news shop/subscriptions/calculator<invoices shop/subscriptions/slack<chats shop/subscriptions/irc<chats",
			[]string{"PUBSUB_PROJECT1=shop,invoices:calculator,chats:slack:irc,news"}},
		{"several projects up to the first gap", "one/topics/aaa two/topics/bbb", []string{"PUBSUB_PROJECT1=one,aaa", "PUBSUB_PROJECT2=two,bbb", "PUBSUB_PROJECT4=four,ddd"}},
		{"other variables are not meant", "", []string{"PUBSUB_PROJECT_ID=shop,topic", "PUBSUB_PROJECT=shop,topic", "PUBSUB_PROJECT0=shop,topic"}},
		{"line breaks and spaces", "shop/topics/aaa shop/topics/bbb shop/subscriptions/sub<bbb", []string{"PUBSUB_PROJECT1=shop,\n  aaa,\n  bbb : sub,\n"}},
		{"endpoint without a port", "shop/topics/aaa shop/subscriptions/sub<aaa>http://web", []string{"PUBSUB_PROJECT1=shop,aaa:sub+web"}},
		{"endpoint with # for a colon", "shop/topics/aaa shop/subscriptions/sub<aaa>http://web:8030 shop/subscriptions/two<aaa", []string{"PUBSUB_PROJECT1=shop,aaa:sub+web#8030:two"}},
		{"endpoint with | for a colon", "shop/topics/aaa shop/subscriptions/sub<aaa>https://web:8030/push?x=1", []string{"PUBSUB_PROJECT1=shop,aaa:sub+https|//web|8030/push?x=1"}},
		{"endpoint as it is", "shop/topics/aaa shop/subscriptions/sub<aaa>http://web:80/push shop/subscriptions/two<aaa>http://other:8080",
			[]string{"PUBSUB_PROJECT1=shop,aaa:sub+http://web:80/push:two+other:8080"}},
		{"named twice", "shop/topics/aaa shop/subscriptions/sub<aaa", []string{"PUBSUB_PROJECT1=shop,aaa:sub,aaa:sub"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := fromEnvironment(c.variables...)
			if err != nil || lines(got) != c.want {
				t.Errorf("%v\ngot  %s\nwant %s", err, lines(got), c.want)
			}
		})
	}
}

func TestVariablesThatAreWrong(t *testing.T) {
	for _, c := range []struct{ variable, want string }{
		{"PUBSUB_PROJECT1=a b,topic", `PUBSUB_PROJECT1: "a b" is no project id; allowed: PROJECT,TOPIC`},
		{"PUBSUB_PROJECT1=,topic", `PUBSUB_PROJECT1: "" is no project id`},
		{"PUBSUB_PROJECT1=p,x", "PUBSUB_PROJECT1: Invalid resource name given (name=projects/p/topics/x)"},
		{"PUBSUB_PROJECT1=p,topic:", "PUBSUB_PROJECT1: Invalid resource name given (name=projects/p/subscriptions/)"},
		{"PUBSUB_PROJECT1=p,topic:sub+", "PUBSUB_PROJECT1: Invalid push endpoint given (endpoint=http://)"},
		{"PUBSUB_PROJECT1=p,topic:sub+ftp://a", "PUBSUB_PROJECT1: Invalid push endpoint given (endpoint=ftp://a)"},
		{"PUBSUB_PROJECT1=p,topic:8080", "PUBSUB_PROJECT1: Invalid resource name given (name=projects/p/subscriptions/8080)"},
	} {
		_, err := fromEnvironment(c.variable)
		wantError(t, err, c.want)
	}
}

func TestProjectsOfVariablesCountEvenWithoutTopics(t *testing.T) {
	got, err := fromEnvironment("PUBSUB_PROJECT1=one", "PUBSUB_PROJECT2=two,topic")
	if err != nil || strings.Join(got.Projects(), " ") != "one two" {
		t.Errorf("%v %v", got.Projects(), err)
	}
}

func FuzzEnvironment(f *testing.F) {
	for _, seed := range []string{"shop,a-1:b-1+c#1:d+http://e:8/f", "p,:::,+", "p,aaa:+:1://"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got, err := fromEnvironment("PUBSUB_PROJECT1=" + line)
		if err != nil {
			return
		}
		for _, s := range got.Subscriptions {
			if _, err := subscriptionKind.settle(s); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
		known := make(map[string]*pubsubpb.Topic)
		for _, topic := range got.Topics {
			if known[topic.Name] != nil {
				t.Errorf("%s twice", topic.Name)
			}
			known[topic.Name] = topic
		}
	})
}
