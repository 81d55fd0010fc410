package push

import (
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/internal/delivery"
)

func TestAlarmWarnsOnceAMinuteAndGivesTheAllClearOnce(t *testing.T) {
	var a alarm
	for _, step := range []struct {
		second  int64
		failing bool
		told    bool
	}{
		{1, false, false}, {2, true, true}, {3, true, false}, {4, false, true}, {5, false, false},
		{6, true, false}, {7, false, false}, {61, true, false}, {62, true, true}, {63, true, false}, {300, false, true}, {301, true, true},
	} {
		if told := a.news(step.failing, step.second*1e9); told != step.told {
			t.Errorf("second %d, failing %v: told %v, want %v", step.second, step.failing, told, step.told)
		}
	}
}

func TestLogShowsNoSecretsOfAnEndpoint(t *testing.T) {
	to, err := newTarget(&delivery.PushTarget{Config: &pubsubpb.PushConfig{PushEndpoint: "https://user:pass@example.com:8443/a%2Fb?token=secret#part"}}, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := to.shown(); got != "https://example.com:8443/a%2Fb" {
		t.Errorf("the log shows %s", got)
	}
}
