package check

import (
	"strings"
	"testing"
)

// Bugs of a broker that keeps the order of keys, each next to what it must not be mixed up with.

// threeOfAKey are published before anything else happens.
const threeOfAKey = `
	0 admin subscribe ok ordered
	5 st stream invoke
	5 s2 stream invoke
	10 p publish invoke msg=a key=k
	20 p publish ok msg=a
	21 p publish invoke msg=b key=k
	22 p publish ok msg=b
	23 p publish invoke msg=c key=k
	24 p publish ok msg=c`

// gets is a delivery of the key, with an ack id of its message's name and a number.
func gets(ms, stream, ack string) string {
	return "\n" + ms + " " + stream + " receive ok key=k msg=" + ack[:1] + " ack=" + ack
}

// acks acknowledges what a stream got.
func acks(ms, stream string, ids ...string) (script string) {
	for _, id := range ids {
		script += "\n" + ms + " " + stream + " ack invoke ack=" + id
	}
	return script
}

func TestKeysThatAreTakenBack(t *testing.T) {
	all := threeOfAKey + gets("50", "st", "a1") + gets("51", "st", "b1") + gets("52", "st", "c1")
	nackA, nackB := "\n60 st nack invoke ack=a1", "\n60 st nack invoke ack=b1"
	judgeAll(t, []verdict{
		{"to another stream, from the beginning", all + nackA + gets("61", "s2", "a2") + gets("62", "s2", "b2") + gets("63", "s2", "c2") +
			acks("90", "s2", "a2", "b2", "c2"), nil},
		{"to another stream before its earlier message came back", all + nackA + gets("61", "s2", "b2") + gets("62", "s2", "c2") +
			gets("63", "s2", "a2") + acks("90", "s2", "a2", "b2", "c2"), []string{"early", "order"}},
		{"to another stream, its earlier message to a third", all + nackA + `
			5 s3 stream invoke` + gets("61", "s3", "a2") + gets("62", "s2", "b2") + gets("63", "s2", "c2") +
			acks("90", "s3", "a2") + acks("90", "s2", "b2", "c2"), []string{"order"}},
		{"to another stream, its earlier message to a third and acknowledged", all + nackA + `
			5 s3 stream invoke` + gets("61", "s3", "a2") + acks("62", "s3", "a2") + gets("63", "s2", "b2") + gets("64", "s2", "c2") +
			acks("90", "s2", "b2", "c2"), nil},
		{"and begins at the successor", all + nackA + gets("61", "st", "b2") + gets("62", "st", "c2") + gets("63", "st", "a2") +
			acks("90", "st", "a2", "b2", "c2"), []string{"early"}},
		{"with what comes before it", all + nackB + gets("61", "st", "a2") + gets("62", "st", "b2") + gets("63", "st", "c2") +
			acks("90", "st", "a2", "b2", "c2"), []string{"early"}},
		{"though nothing was given back", all + gets("61", "st", "b2") + gets("62", "st", "c2") +
			acks("90", "st", "a1", "b2", "c2"), []string{"early"}},
		{"and acknowledged, while it comes again", all + "\n59 st ack invoke ack=b1" + nackA + "\n65 st ack ok ack=b1" +
			gets("66", "st", "a2") + gets("67", "st", "b2") + gets("68", "st", "c2") + acks("90", "st", "a2", "b2", "c2"), nil},
		{"and acknowledged, long before it comes again", all + "\n59 st ack invoke ack=b1" + nackA + "\n65 st ack ok ack=b1" +
			gets("66", "st", "a2") + gets("600", "st", "b2") + gets("601", "st", "c2") + acks("690", "st", "a2", "b2", "c2"), []string{"acked"}},
	})
}

func TestOneKeyOnTwoStreams(t *testing.T) {
	first := threeOfAKey + gets("50", "st", "a1") + gets("51", "st", "b1")
	judgeAll(t, []verdict{
		{"when the first has acknowledged", first + acks("60", "st", "a1", "b1") + gets("61", "s2", "c1") + acks("90", "s2", "c1"), nil},
		{"while the first holds it", first + gets("52", "s2", "c1") + acks("90", "st", "a1", "b1") + acks("90", "s2", "c1"), []string{"order"}},
		{"while the first holds it, received in another order", threeOfAKey + gets("50", "s2", "b1") + gets("51", "st", "a1") + gets("52", "st", "c1") +
			acks("90", "st", "a1", "c1") + acks("90", "s2", "b1"), []string{"order"}},
		{"received in another order, as the first was closed", first + `
			60 st stream fail` + gets("55", "s2", "a2") + gets("56", "s2", "b2") + gets("57", "s2", "c2") + gets("58", "st", "c1") +
			acks("90", "s2", "a2", "b2", "c2"), nil},
	})
}

func TestAckIDsOfAKeyThatIsTakenBack(t *testing.T) {
	// The key goes to s2, is given back, and goes to st; what st got comes first.
	both := `
		0 admin subscribe ok ordered once
		5 st stream invoke
		5 s2 stream invoke
		10 p publish invoke msg=a key=k
		20 p publish ok msg=a
		21 p publish invoke msg=b key=k
		22 p publish ok msg=b` + gets("50", "s2", "a1") + "\n51 s2 nack invoke ack=a1" + gets("52", "st", "a2") + gets("53", "st", "b2") + gets("54", "s2", "b1")
	firstOK := "\n5100 st ack invoke ack=a2\n5110 st ack ok ack=a2"
	judgeAll(t, []verdict{
		{"the newest counts", both + firstOK + "\n5120 st ack invoke ack=b2\n5130 st ack ok ack=b2\n5140 s2 ack invoke ack=b1\n5150 s2 ack fail ack=b1", nil},
		{"both count", both + firstOK + "\n5120 st ack invoke ack=b2\n5130 st ack ok ack=b2\n5140 s2 ack invoke ack=b1\n5150 s2 ack ok ack=b1", []string{"exactly once"}},
		{"the one that came long after does not replace it", strings.ReplaceAll(both, "\n54 s2", "\n3054 s2") + firstOK +
			"\n5120 st ack invoke ack=b2\n5130 st ack ok ack=b2", []string{"early", "exactly once"}},
	})
}

func TestChangedDeadlinesAreHeldToTheirAnswers(t *testing.T) {
	begin := "\n0 admin subscribe ok once" + publishA + openStream + receiveA
	again := func(ms string) string {
		return "\n" + ms + " st receive ok msg=a ack=a2\n" + ms + " st ack invoke ack=a2"
	}
	extended := begin + "\n9900 st extend invoke ack=a1 lease=20000"
	nacked := begin + "\n60 st nack invoke ack=a1"
	judgeAll(t, []verdict{
		{"extended at the last moment, no answer", extended + again("10060"), nil},
		{"extended at the last moment, dropped though confirmed", extended + "\n9950 st extend ok ack=a1" + again("10060"), []string{"early"}},
		{"extended at the last moment, confirmed", extended + "\n9950 st extend ok ack=a1" + again("29950"), nil},
		{"extended at the last moment, refused", extended + "\n9950 st extend fail ack=a1" + again("10060"), nil},
		{"extended at the last moment, kept though refused", extended + "\n9950 st extend fail ack=a1" + again("29950"), []string{"late"}},
		{"extended at the last moment, no answer, long before either end", extended + again("5000"), []string{"early"}},
		{"given back", nacked + "\n65 st extend ok ack=a1" + again("70"), nil},
		{"not given back, but comes again", nacked + "\n65 st extend fail ack=a1" + again("70"), []string{"early"}},
	})
}

func TestAttemptsThatNobodySaw(t *testing.T) {
	begin := `
		0 admin subscribe ok letters=dead
		0 admin subscribe ok sub=graves topic=dead` + publishA + openStream
	get := func(ms, n, then string) string {
		return "\n" + ms + " st receive ok msg=a ack=a" + n + " attempt=" + n + "\n" + ms + " st " + then + " invoke ack=a" + n
	}
	broken := "\n105 other stream invoke\n106 other stream fail"
	judgeAll(t, []verdict{
		{"one, with a stream that broke", begin + get("100", "1", "nack") + broken + get("110", "3", "ack"), nil},
		{"two, with one stream that broke", begin + get("100", "1", "nack") + broken + get("110", "4", "ack"), []string{"attempts"}},
		{"one, with a stream of another subscription", begin + get("100", "1", "nack") + `
			105 other stream invoke sub=graves
			106 other stream fail sub=graves` + get("110", "3", "ack"), []string{"attempts"}},
		{"one, with a stream that was closed", begin + get("100", "1", "nack") + `
			105 other stream invoke
			106 other stream ok` + get("110", "3", "ack"), []string{"attempts"}},
	})
	reversed := begin + `
		90 s2 stream invoke
		100 s2 receive ok msg=a ack=b2 attempt=2
		101 st receive ok msg=a ack=b1 attempt=1
		150 s2 ack invoke ack=b2`
	judgeAll(t, []verdict{
		{"received in another order, as the first stream was closed", reversed + "\n102 st stream fail", nil},
		{"received in another order, as the first stream was about to be closed", reversed + "\n99 st close invoke\n102 st stream ok", nil},
		{"received in another order, though the first stream was closed later", reversed + "\n102 st close invoke\n103 st stream ok", []string{"early", "attempts"}},
		{"received in another order, two behind, as the first stream was closed", begin + `
			90 s2 stream invoke
			100 s2 receive ok msg=a ack=b2 attempt=2
			101 s2 nack invoke ack=b2
			102 s2 receive ok msg=a ack=b3 attempt=3
			103 st receive ok msg=a ack=b1 attempt=1
			104 st stream fail
			150 s2 ack invoke ack=b3`, nil},
		{"counted backwards", reversed, []string{"early", "attempts"}},
		{"counted backwards, as the other stream was closed", reversed + "\n102 s2 stream fail", []string{"attempts"}},
	})
	five := begin + get("100", "1", "nack") + get("110", "2", "nack") + get("120", "3", "nack") + get("130", "4", "nack") + get("140", "5", "nack")
	judgeAll(t, []verdict{
		{"one more than there are", five + get("150", "6", "ack"), nil},
		{"two more than there are", five + get("150", "6", "nack") + get("160", "7", "ack"), []string{"attempts"}},
		{"two more than there are, over a fault, and again with a stream that was closed", five + get("150", "6", "nack") + `
			151 p publish invoke msg=y
			152 p publish ok msg=y
			153 st receive ok msg=y ack=y1 attempt=1
			154 st ack invoke ack=y1
			155 x fault invoke
			156 p publish invoke msg=x
			157 p publish unknown msg=x
			159 x fault ok` + get("160", "7", "extend") + `
			161 st stream ok
			162 st2 stream invoke
			163 st2 receive ok msg=a ack=b7 attempt=7
			164 st2 ack invoke ack=b7
			170 p publish invoke msg=z
			171 p publish ok msg=z
			172 st2 receive ok msg=z ack=z1 attempt=1
			173 st2 ack invoke ack=z1`, nil},
	})
	crash := `
		1000 x fault invoke
		1001 st stream fail
		1100 x fault ok
		1110 st2 stream invoke`
	after := func(n string) string {
		return "\n1120 st2 receive ok msg=a ack=b1 attempt=" + n + "\n1130 st2 ack invoke ack=b1\n1140 p publish invoke msg=z\n1150 p publish ok msg=z\n" +
			"1160 st2 receive ok msg=z ack=z1 attempt=1\n1170 st2 ack invoke ack=z1"
	}
	judgeAll(t, []verdict{
		{"a crash forgets a failure of just before", begin + get("900", "1", "nack") + get("990", "2", "extend") + crash + after("1"), nil},
		{"a crash forgets a failure of long before", begin + get("100", "1", "nack") + get("110", "2", "extend") + crash + after("1"), []string{"attempts"}},
		{"a crash adds failures", begin + get("990", "1", "extend") + crash + after("4"), []string{"attempts"}},
	})
}

func TestAReportCountsWhatItExcused(t *testing.T) {
	late := threeOfAKey + gets("50", "st", "a1") + gets("51", "st", "b1") + "\n60 st nack invoke ack=a1" +
		gets("61", "s2", "a2") + gets("62", "st", "c1") + gets("63", "s2", "b2") + gets("64", "s2", "c2") + acks("90", "s2", "a2", "b2", "c2")
	report := Judge(NewHistory(script(t, late)), Options{})
	if n := report.Excused["order: received on two streams in another order than sent"]; !report.OK() || n != 1 {
		t.Errorf("%d excuses %v, want 1 and no violation but %v", n, report.Excused, report.Violations)
	}
	report = Judge(NewHistory(script(t, publishA+openStream+receiveA+ackA)), Options{})
	if len(report.Excused) > 0 {
		t.Errorf("excuses %v in a run without any", report.Excused)
	}
}
