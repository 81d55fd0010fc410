package check

import "testing"

func TestNothingLost(t *testing.T) {
	judgeAll(t, []verdict{
		{"published, delivered, acknowledged", publishA + openStream + receiveA + ackA, nil},
		{"accepted and never delivered", publishA + openStream, []string{"lost"}},
		{"unknown and never delivered", `
			10 p publish invoke msg=a
			20 p publish unknown msg=a`, nil},
		{"unknown and delivered", `
			10 p publish invoke msg=a
			20 p publish unknown msg=a` + openStream + receiveA + ackA, nil},
		{"call never returned", `
			10 p publish invoke msg=a`, nil},
		{"lost to one of two subscriptions", `
			0 admin subscribe ok
			0 admin subscribe ok sub=other` + publishA + openStream + receiveA + ackA, []string{"lost"}},
		{"published while the subscription was being created", `
			15 admin subscribe ok` + publishA, nil},
		{"subscription was deleted", publishA + `
			100 admin unsubscribe invoke
			110 admin unsubscribe ok`, nil},
		{"given back and never seen again", publishA + openStream + receiveA + `
			60 st nack invoke ack=a1
			70 st stream fail`, []string{"lost"}},
		{"lease ran out, acknowledged the second time", publishA + openStream + receiveA + `
			10060 st receive ok msg=a ack=a2
			10070 st ack invoke ack=a2`, nil},
		{"filter shuts it out", `
			0 admin subscribe ok only=red` + publishA, nil},
		{"filter lets it pass and it is lost", `
			0 admin subscribe ok only=red
			10 p publish invoke msg=a class=red
			20 p publish ok msg=a`, []string{"lost"}},
		{"passed by a seek", publishA + `
			100 admin seek invoke`, nil},
	})
}

func TestNoPhantom(t *testing.T) {
	judgeAll(t, []verdict{
		{"never published", publishA + openStream + receiveA + ackA + `
			80 st receive ok msg=x ack=x1
			90 st ack invoke ack=x1`, []string{"phantom"}},
		{"refused and delivered", `
			10 p publish invoke msg=a
			20 p publish fail msg=a` + openStream + receiveA + ackA, []string{"phantom"}},
		{"delivered before it was sent", `
			60 p publish invoke msg=a
			80 p publish ok msg=a` + openStream + receiveA + `
			90 st ack invoke ack=a1`, []string{"phantom"}},
		{"delivered before the publisher had its answer", `
			10 p publish invoke msg=a
			55 p publish ok msg=a` + openStream + receiveA + ackA, nil},
	})
}

func TestNothingAltered(t *testing.T) {
	judgeAll(t, []verdict{
		{"one bit differs", publishA + openStream + `
			50 st receive ok msg=a ack=a1 sha=other` + ackA, []string{"altered"}},
		{"ordering key lost", `
			10 p publish invoke msg=a key=k
			20 p publish ok msg=a key=k` + openStream + receiveA + ackA, []string{"altered"}},
	})
}

func TestMessageIdentity(t *testing.T) {
	both := publishA + publishB + openStream
	judgeAll(t, []verdict{
		{"two messages share an id", `
			10 p publish invoke msg=a
			20 p publish ok msg=a id=1
			30 p publish invoke msg=b
			40 p publish ok msg=b id=1` + openStream + `
			50 st receive ok msg=a ack=a1 id=1
			60 st ack invoke ack=a1
			70 st receive ok msg=b ack=b1 id=1
			80 st ack invoke ack=b1`, []string{"identity"}},
		{"publisher was told another id", publishA + openStream + `
			50 st receive ok msg=a ack=a1 id=other` + ackA, []string{"identity"}},
		{"id changes with redelivery", `
			10 p publish invoke msg=a
			20 p publish unknown msg=a` + openStream + receiveA + `
			60 st nack invoke ack=a1
			70 st receive ok msg=a ack=a2 id=other
			80 st ack invoke ack=a2`, []string{"identity"}},
		{"id differs between subscriptions", `
			0 admin subscribe ok
			0 admin subscribe ok sub=other
			10 p publish invoke msg=a
			20 p publish unknown msg=a` + openStream + receiveA + ackA + `
			80 st2 receive ok sub=other msg=a ack=a1 id=other
			90 st2 ack invoke sub=other ack=a1`, []string{"identity"}},
		{"publish time changes with redelivery", publishA + openStream + receiveA + `
			60 st nack invoke ack=a1
			70 st receive ok msg=a ack=a2 pt=99
			80 st ack invoke ack=a2`, []string{"identity"}},
		{"ack id used twice", both + receiveA + ackA + `
			80 st receive ok msg=b ack=a1
			90 st ack invoke ack=a1`, []string{"identity"}},
		{"same ack id in another subscription", `
			0 admin subscribe ok
			0 admin subscribe ok sub=other` + publishA + openStream + receiveA + ackA + `
			80 st2 receive ok sub=other msg=a ack=a1
			90 st2 ack invoke sub=other ack=a1`, nil},
	})
}

func TestAcceptedMessageHasAnID(t *testing.T) {
	events := script(t, publishA+openStream+receiveA+ackA)
	for i := range events {
		events[i].MessageID = ""
	}
	report := Judge(NewHistory(events), Options{})
	if len(report.Violations) == 0 || report.Violations[0].Rule != "identity" {
		t.Errorf("violations %+v, want one of identity", report.Violations)
	}
}

func TestPublishTimeNeverFalls(t *testing.T) {
	deliver := func(a, b string) string {
		return openStream + `
			100 st receive ok msg=a ack=a1 pt=` + a + `
			110 st ack invoke ack=a1
			120 st receive ok msg=b ack=b1 pt=` + b + `
			130 st ack invoke ack=b1`
	}
	overlapping := `
		10 p publish invoke msg=a
		15 q publish invoke msg=b
		20 p publish ok msg=a
		25 q publish ok msg=b`
	judgeAll(t, []verdict{
		{"grows", publishA + publishB + deliver("12", "32"), nil},
		{"stands still", publishA + publishB + deliver("12", "12"), nil},
		{"falls", publishA + publishB + deliver("32", "31"), []string{"publish time"}},
		{"overlapping publishes stand either way", overlapping + deliver("32", "31"), nil},
	})
}

func TestIsolation(t *testing.T) {
	judgeAll(t, []verdict{
		{"message of another topic", `
			10 p publish invoke msg=a topic=projects/other/topics/t
			20 p publish ok msg=a` + openStream + receiveA + ackA, []string{"isolation"}},
		{"message that the filter shuts out", `
			0 admin subscribe ok only=red
			10 p publish invoke msg=a class=blue
			20 p publish ok msg=a` + openStream + receiveA + ackA, []string{"isolation"}},
		{"message of another subscription's stream", `
			0 admin subscribe ok
			0 admin subscribe ok sub=other` + publishA + `
			5 st stream invoke sub=other` + receiveA + ackA + `
			80 x receive ok sub=other msg=a ack=a1
			90 x ack invoke sub=other ack=a1`, []string{"isolation"}},
	})
}

func TestNoRedeliveryAfterAck(t *testing.T) {
	again := `
		5000 st receive ok msg=a ack=a2
		5010 st ack invoke ack=a2`
	closedAt := func(ms string) string {
		return ackA + "\n" + ms + ` st close invoke
			72 st stream ok
			5 s2 stream invoke
			73 s2 receive ok msg=a ack=a2
			90 s2 ack invoke ack=a2`
	}
	judgeAll(t, []verdict{
		{"after a confirmed acknowledgement", publishA + openStream + receiveA + ackA + again, []string{"acked"}},
		{"after a confirmed acknowledgement and a crash", publishA + openStream + receiveA + ackA + `
			80 p publish invoke msg=b
			100 x fault invoke
			105 p publish unknown msg=b
			110 st stream fail
			400 x fault ok
			410 p publish invoke msg=c
			420 p publish ok msg=c
			430 s2 stream invoke
			440 s2 receive ok msg=c ack=c1
			450 s2 ack invoke ack=c1
			5000 s2 receive ok msg=a ack=a2
			5010 s2 ack invoke ack=a2`, []string{"acked"}},
		{"sent before an acknowledgement that the end of the stream overtook", publishA + openStream + receiveA + closedAt("62"), nil},
		{"after an acknowledgement that came before the end of the stream", publishA + openStream + receiveA + closedAt("71"), []string{"acked"}},
		{"long after an acknowledgement on the stream", publishA + openStream + receiveA + `
			60 st ack invoke ack=a1` + again, []string{"acked"}},
		{"acknowledgement on the stream overtaken", publishA + openStream + receiveA + `
			60 st ack invoke ack=a1
			90 st nack invoke ack=a1
			100 st receive ok msg=a ack=a2
			110 st ack invoke ack=a2`, nil},
		{"acknowledgement on the stream lost in a crash", publishA + openStream + receiveA + `
			60 st ack invoke ack=a1
			62 p publish invoke msg=b
			65 x fault invoke
			66 st stream fail
			70 p publish unknown msg=b
			400 x fault ok
			410 p publish invoke msg=c
			420 p publish ok msg=c
			430 s2 stream invoke
			440 s2 receive ok msg=c ack=c1
			450 s2 ack invoke ack=c1
			5000 s2 receive ok msg=a ack=a2
			5010 s2 ack invoke ack=a2`, nil},
		{"acknowledged too late", publishA + openStream + receiveA + `
			10040 st ack invoke ack=a1
			10060 st receive ok msg=a ack=a2
			10070 st ack ok ack=a1
			10080 st ack invoke ack=a2`, nil},
		{"seek brings it back", publishA + openStream + receiveA + ackA + `
			100 admin seek invoke` + again, nil},
	})
}
