package check

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// bitten is a fault that hits a publish and a stream and is followed by healthy work.
const bitten = `
	0 admin subscribe ok
	5 st stream invoke
	10 p publish invoke msg=a
	20 p publish ok msg=a
	50 st receive ok msg=a ack=a1
	60 st ack invoke ack=a1
	70 st ack ok ack=a1
	1000 p publish invoke msg=b
	1010 x fault invoke
	1020 p publish unknown msg=b
	1020 st stream fail
	1500 x fault ok
	1600 p publish invoke msg=c
	1610 p publish ok msg=c
	1620 s2 stream invoke
	1630 s2 receive ok msg=c ack=c1
	1640 s2 ack invoke ack=c1`

func TestFaultsMustBite(t *testing.T) {
	judgeAll(t, []verdict{
		{"fault hits", bitten, nil},
		{"fault hits nothing", strings.ReplaceAll(strings.Replace(bitten, "publish unknown", "publish fail", 1), "stream fail", "stream ok"),
			[]string{"faults"}},
		{"fault is never healed", strings.Replace(bitten, "1500 x fault ok", "", 1), []string{"faults"}},
		{"no work before the fault", `
			0 x fault invoke
			5 p publish invoke msg=b
			6 p publish unknown msg=b
			8 x fault ok` + publishA + openStream + receiveA + ackA, []string{"faults"}},
	})
	rest := publishA + openStream + receiveA + ackA + `
		1000 x fault invoke
		1100 x fault ok`
	if report := Judge(NewHistory(script(t, rest)), Options{Bitten: -1}); !report.OK() {
		t.Errorf("fault at rest, none asked to hit: voids %+v", report.Voids)
	}
	report := Judge(NewHistory(script(t, bitten)), Options{Faults: 2})
	if report.OK() || len(report.Violations) != 0 {
		t.Errorf("a run with fewer faults than asked for: violations %d, voids %d; want it void", len(report.Violations), len(report.Voids))
	}
}

func TestAliveAfterHealing(t *testing.T) {
	// Work goes on only 20 s after the fault, although a publisher tried all the time.
	slow := strings.NewReplacer("1610 p publish ok", "21610 p publish ok", "1620 s2", "21620 s2", "1630 s2", "21630 s2", "1640 s2", "21640 s2").
		Replace(bitten)
	for i := range 20 {
		slow += fmt.Sprintf("\n%d p publish invoke msg=x%d\n%d p publish unknown msg=x%d", 1700+1000*i, i, 1800+1000*i, i)
	}
	deaf := slow + `
		3000 p publish invoke msg=y
		3010 p publish ok msg=y
		21650 s2 receive ok msg=y ack=y1
		21660 s2 ack invoke ack=y1`
	judgeAll(t, []verdict{
		{"nothing accepted for long", slow, []string{"alive"}},
		{"nothing delivered for long", deaf, []string{"alive"}},
		{"next fault comes before the time is over", slow + `
			9000 x fault invoke
			9100 x fault ok
			12000 p publish invoke msg=z
			12010 p publish fail msg=z
			9200 p publish invoke msg=y
			9210 p publish ok msg=y
			9220 s3 stream invoke
			9230 s3 receive ok msg=y ack=y1
			9240 s3 ack invoke ack=y1`, nil},
	})
}

func TestMalformedHistoryIsVoid(t *testing.T) {
	whole := publishA + openStream + receiveA + ackA
	judgeAll(t, []verdict{
		{"no drain", whole + "\n900 admin drain invoke", []string{"history"}},
		{"nothing published", openStream, []string{"history"}},
		{"payload id used twice", whole + "\n100 p publish invoke msg=a", []string{"history"}},
		{"outcome without a call", whole + "\n100 p publish ok msg=other", []string{"history"}},
		{"ack id out of nowhere", whole + "\n100 st ack invoke ack=other", []string{"history"}},
		{"subscription out of nowhere", whole + "\n100 st receive ok sub=other msg=a ack=x", []string{"history"}},
		{"subscription twice", "0 admin subscribe ok\n0 admin subscribe ok" + whole, []string{"history"}},
		{"stream opened twice", whole + "\n100 st stream invoke", []string{"history"}},
		{"stream closed twice", whole + "\n100 st stream ok\n110 st stream ok", []string{"history"}},
		{"fault healed that never was", whole + "\n100 x fault ok", []string{"history"}},
		{"operation nobody knows", whole + "\n100 x dance ok", []string{"history"}},
	})
}

func TestReadIsStrict(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown field", `{"time_ns":1,"colour":"red"}` + "\n", "line 1"},
		{"broken line", `{"time_ns":1}` + "\n" + `{"time` + "\n", "line 2"},
	} {
		if _, err := Read(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that names %s", c.name, err, c.want)
		}
	}
	events, err := Read(strings.NewReader(`{"time_ns":1}` + "\n" + `{"time_ns":2`))
	if err != nil || len(events) != 1 {
		t.Errorf("half a last line: %d events, %v; want 1 and no error", len(events), err)
	}
}

func TestRecorderWritesWhatReadReads(t *testing.T) {
	var file bytes.Buffer
	r := NewRecorder(&file)
	sent := []Event{
		{Process: "p", Op: OpPublish, Phase: PhaseInvoke, Payload: "a", Call: 1, Topic: "t", Key: "k", SHA256: "x"},
		{Process: "admin", Op: OpSubscribe, Phase: PhaseOK, Subscription: "s", Topic: "t", Config: &Config{Ordered: true}},
	}
	first := r.Record(sent[0])
	if second := r.Record(sent[1]); second < first {
		t.Errorf("time fell from %d to %d", first, second)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&file)
	if err != nil || len(got) != 2 {
		t.Fatalf("read %d events, %v; want 2", len(got), err)
	}
	if got[0].Payload != "a" || got[0].Key != "k" || !got[1].Config.Ordered {
		t.Errorf("read %+v, want what was recorded", got)
	}
}

type brokenWriter struct{}

var errDisk = errors.New("disk is gone")

func (brokenWriter) Write([]byte) (int, error) { return 0, errDisk }

func TestRecorderReportsAFailedWrite(t *testing.T) {
	r := NewRecorder(brokenWriter{})
	r.Record(Event{Process: "p"})
	if err := r.Close(); !errors.Is(err, errDisk) {
		t.Errorf("close: %v, want %v", err, errDisk)
	}
}

func TestJudgeIsFastEnoughForLongRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("long history")
	}
	var events []Event
	const messages = 200_000
	events = append(events, Event{Op: OpSubscribe, Phase: PhaseOK, Subscription: "s", Topic: "t", Process: "admin"},
		Event{Op: OpStream, Phase: PhaseInvoke, Process: "st", Subscription: "s", Limits: &Limits{Messages: 100}})
	for i := range messages {
		at := int64(i+1) * 1e6
		id := fmt.Sprint(i)
		base := Event{TimeNS: at, Process: "p", Call: int64(i), Op: OpPublish, Phase: PhaseInvoke, Topic: "t", Payload: id, SHA256: id}
		done := base
		done.TimeNS, done.Phase, done.MessageID = at+1e5, PhaseOK, id
		events = append(events, base, done,
			Event{TimeNS: at + 2e5, Process: "st", Op: OpReceive, Phase: PhaseOK, Subscription: "s", Payload: id, SHA256: id, MessageID: id,
				PublishTimeNS: at, AckID: id, DeadlineNS: 10e9},
			Event{TimeNS: at + 3e5, Process: "st", Op: OpAck, Phase: PhaseInvoke, Subscription: "s", AckID: id})
	}
	events = append(events, Event{TimeNS: messages * 2e6, Op: OpDrain, Phase: PhaseOK})
	begin := time.Now()
	report := Judge(NewHistory(events), Options{})
	if !report.OK() {
		t.Errorf("a clean run is judged %+v %+v", report.Voids, report.Violations[:min(3, len(report.Violations))])
	}
	// It takes seconds; what looks at every pair of events takes hours, on any machine.
	if took := time.Since(begin); took > 5*time.Minute {
		t.Errorf("judging %d events took %v, want seconds", len(events), took)
	}
}
