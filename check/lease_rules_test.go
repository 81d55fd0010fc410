package check

import "testing"

func TestDeadlines(t *testing.T) {
	ackSecond := func(ms string) string {
		return "\n" + ms + " st receive ok msg=a ack=a2\n" + ms + " st ack invoke ack=a2"
	}
	begin := publishA + openStream + receiveA
	judgeAll(t, []verdict{
		{"at the deadline", begin + ackSecond("10060"), nil},
		{"long before the deadline", begin + ackSecond("5000"), []string{"early"}},
		{"long after the deadline", begin + ackSecond("12000"), []string{"late"}},
		{"never again", begin, []string{"lost", "late"}},
		{"extended, at the new deadline", begin + `
			9000 st extend invoke ack=a1 lease=20000` + ackSecond("29100"), nil},
		{"extended, at the old deadline", begin + `
			9000 st extend invoke ack=a1 lease=20000` + ackSecond("10060"), []string{"early"}},
		{"extended at the last moment, at the old deadline", begin + `
			9900 st extend invoke ack=a1 lease=20000` + ackSecond("10060"), nil},
		{"shortened, at the new deadline", begin + `
			1000 st extend invoke ack=a1 lease=3000` + ackSecond("4010"), nil},
		{"shortened, at the old deadline", begin + `
			1000 st extend invoke ack=a1 lease=3000` + ackSecond("10060"), []string{"late"}},
		{"nack, at once", begin + `
			60 st nack invoke ack=a1` + ackSecond("65"), nil},
		{"nack, at the deadline", begin + `
			60 st nack invoke ack=a1` + ackSecond("10060"), []string{"late"}},
		{"nack, at the deadline, with a retry policy", `
			0 admin subscribe ok backoff` + begin + `
			60 st nack invoke ack=a1` + ackSecond("10060"), nil},
		{"broken stream gives back at once", begin + `
			100 st stream fail
			90 s2 stream invoke
			110 s2 receive ok msg=a ack=a2
			120 s2 ack invoke ack=a2`, nil},
		{"broken stream keeps its messages", begin + `
			100 st stream fail
			90 s2 stream invoke
			10060 s2 receive ok msg=a ack=a2
			10070 s2 ack invoke ack=a2`, []string{"late"}},
		{"late for want of a stream", begin + `
			100 st stream fail
			10060 s2 stream invoke
			10070 s2 receive ok msg=a ack=a2
			10080 s2 ack invoke ack=a2`, nil},
		{"late for want of room", publishA + publishB + `
			5 st stream invoke messages=1
			50 st receive ok msg=a ack=a1
			55 st stream fail
			45 s2 stream invoke messages=1
			50 s2 receive ok msg=b ack=b1
			6000 s2 ack invoke ack=b1
			6010 s2 receive ok msg=a ack=a2
			6020 s2 ack invoke ack=a2`, nil},
	})
}

func TestFlowControl(t *testing.T) {
	two := publishA + publishB
	late := two + openStream + receiveA // the acknowledgement and the end of the stream come at the same time
	full := `
		5 s2 stream invoke messages=1
		95 s2 receive ok msg=a ack=a2
		100 s2 receive ok msg=b ack=b1
		120 s2 ack invoke ack=a2
		120 s2 ack invoke ack=b1`
	judgeAll(t, []verdict{
		{"at the limit", two + `
			5 st stream invoke messages=1` + receiveA + ackA + `
			80 st receive ok msg=b ack=b1
			90 st ack invoke ack=b1`, nil},
		{"one message too many", two + `
			5 st stream invoke messages=1` + receiveA + `
			52 st receive ok msg=b ack=b1` + ackA + `
			90 st ack invoke ack=b1`, []string{"flow control"}},
		{"an ack id of before makes room", late + "\n70 st ack invoke ack=a1\n90 st stream fail" + full, nil},
		{"nobody acknowledged before", late + "\n90 st stream fail" + full, []string{"flow control"}},
		{"acknowledged before, too late", late + "\n90 st stream fail" + full + "\n130 st ack invoke ack=a1", []string{"flow control"}},
		{"an ack id of before, which holds no longer", "\n0 admin subscribe ok once" + late + "\n70 st ack invoke ack=a1\n90 st stream fail" + full, []string{"flow control"}},
		{"a nack makes room", two + `
			5 st stream invoke messages=1` + receiveA + `
			55 st nack invoke ack=a1
			56 st receive ok msg=b ack=b1
			57 st ack invoke ack=b1
			60 st receive ok msg=a ack=a2
			61 st ack invoke ack=a2`, nil},
		{"bytes over the limit", two + `
			5 st stream invoke room=100
			50 st receive ok msg=a ack=a1 bytes=100
			52 st receive ok msg=b ack=b1 bytes=10` + ackA + `
			90 st ack invoke ack=b1`, []string{"flow control"}},
		{"the last message may pass the limit in bytes", two + `
			5 st stream invoke room=100
			50 st receive ok msg=a ack=a1 bytes=99
			52 st receive ok msg=b ack=b1 bytes=500` + ackA + `
			90 st ack invoke ack=b1`, nil},
		{"no limits", two + `
			5 st stream invoke messages=-1` + receiveA + `
			52 st receive ok msg=b ack=b1` + ackA + `
			90 st ack invoke ack=b1`, nil},
	})
}

func TestOrderPerKey(t *testing.T) {
	begin := `
		0 admin subscribe ok ordered
		5 st stream invoke
		10 p publish invoke msg=a key=k
		20 p publish ok msg=a
		21 p publish invoke msg=b key=k
		22 p publish ok msg=b
		23 p publish invoke msg=c key=k
		24 p publish ok msg=c`
	deliver := func(ms, msg, ack string) string {
		return "\n" + ms + " st receive ok key=k msg=" + msg + " ack=" + ack
	}
	ackAll := `
		90 st ack invoke ack=a1
		91 st ack invoke ack=b1
		92 st ack invoke ack=c1`
	late := `
		25 p publish invoke msg=d key=k
		26 p publish ok msg=d
		40 s2 stream invoke` + deliver("50", "a", "a1") + `
		60 st nack invoke ack=a1
		61 s2 receive ok key=k msg=a ack=a2
		62 s2 receive ok key=k msg=b ack=b2`
	ackLate := `
		90 s2 ack invoke ack=a2
		91 s2 ack invoke ack=b2
		93 s2 ack invoke ack=d2`
	judgeAll(t, []verdict{
		{"in order", begin + deliver("50", "a", "a1") + deliver("51", "b", "b1") + deliver("52", "c", "c1") + ackAll, nil},
		{"two change places", begin + deliver("50", "a", "a1") + deliver("51", "c", "c1") + deliver("52", "b", "b1") + ackAll,
			[]string{"order"}},
		{"nack brings all successors again", begin + deliver("50", "a", "a0") + deliver("51", "b", "b0") + `
			52 st nack invoke ack=a0` + deliver("53", "a", "a1") + deliver("54", "b", "b1") + deliver("55", "c", "c1") + ackAll, nil},
		{"successor of a redelivery is missing", begin + deliver("50", "a", "a0") + deliver("51", "b", "b1") + `
			52 st nack invoke ack=a0` + deliver("53", "a", "a1") + deliver("55", "c", "c1") + ackAll, []string{"order"}},
		{"acknowledged successors need not come again", begin + deliver("50", "a", "a0") + deliver("51", "b", "b1") + `
			52 st ack invoke ack=b1
			53 st nack invoke ack=a0` + deliver("54", "a", "a1") + deliver("55", "c", "c1") + ackAll, nil},
		{"a successor acknowledged just as its predecessor is given back", begin + deliver("50", "a", "a0") + deliver("51", "b", "b0") + `
			60 st ack invoke ack=b0
			60 st nack invoke ack=a0
			65 st ack ok ack=b0` + deliver("66", "a", "a1") + deliver("67", "b", "b1") + deliver("68", "c", "c1") + ackAll, nil},
		{"a successor acknowledged long before its predecessor is given back", begin + deliver("50", "a", "a0") + deliver("51", "b", "b0") + `
			60 st ack invoke ack=b0
			65 st ack ok ack=b0
			5000 st nack invoke ack=a0` + deliver("5066", "a", "a1") + deliver("5067", "b", "b1") + deliver("5068", "c", "c1") + `
			5090 st ack invoke ack=a1
			5091 st ack invoke ack=b1
			5092 st ack invoke ack=c1`, []string{"acked"}},
		{"without the flag any order will do", `
			0 admin subscribe ok
			10 p publish invoke msg=a key=k
			20 p publish ok msg=a
			21 p publish invoke msg=b key=k
			22 p publish ok msg=b` + openStream + deliver("51", "b", "b1") + deliver("52", "a", "a1") + `
			90 st ack invoke ack=a1
			91 st ack invoke ack=b1`, nil},
		{"order within one call counts", `
			0 admin subscribe ok ordered
			10 p publish invoke msg=a key=k call=1
			10 p publish invoke msg=b key=k call=1
			20 p publish ok msg=a
			20 p publish ok msg=b` + openStream + deliver("51", "b", "b1") + deliver("52", "a", "a1") + `
			90 st ack invoke ack=a1
			91 st ack invoke ack=b1`, []string{"order"}},
		{"overlapping publishes have no order", `
			0 admin subscribe ok ordered
			10 p publish invoke msg=a key=k
			12 q publish invoke msg=b key=k
			20 p publish ok msg=a
			22 q publish ok msg=b` + openStream + deliver("51", "b", "b1") + deliver("52", "a", "a1") + `
			90 st ack invoke ack=a1
			91 st ack invoke ack=b1`, nil},
		{"an unknown publish may be missing", `
			0 admin subscribe ok ordered
			10 p publish invoke msg=a key=k
			20 p publish unknown msg=a
			21 p publish invoke msg=b key=k
			22 p publish ok msg=b` + openStream + deliver("51", "b", "b1") + `
			91 st ack invoke ack=b1`, nil},
		{"a successor is taken back with its predecessor", begin + deliver("50", "a", "a0") + deliver("51", "b", "b0") +
			deliver("52", "c", "c0") + `
			1000 st nack invoke ack=a0` + deliver("1001", "a", "a1") + deliver("1002", "b", "b1") + deliver("1003", "c", "c1") + `
			1090 st ack invoke ack=a1
			1091 st ack invoke ack=b1
			1092 st ack invoke ack=c1`, nil},
		{"a successor arrives late on the stream from which its key was taken", begin + late + `
			63 s2 receive ok key=k msg=c ack=c2
			64 st receive ok key=k msg=b ack=b1
			65 s2 receive ok key=k msg=d ack=d2` + ackLate + `
			92 s2 ack invoke ack=c2`, nil},
		{"a message is passed over as another arrives late", begin + late + `
			64 st receive ok key=k msg=b ack=b1
			65 s2 receive ok key=k msg=d ack=d2
			66 s2 receive ok key=k msg=c ack=c2` + ackLate + `
			92 s2 ack invoke ack=c2`, []string{"order"}},
		{"a message was on its way when its key was taken away", begin + deliver("50", "a", "a1") + deliver("51", "b", "b1") + `
			40 s2 stream invoke
			60 st nack invoke ack=a1
			61 s2 receive ok key=k msg=a ack=a2` + deliver("62", "c", "c1") + `
			63 s2 receive ok key=k msg=b ack=b2
			64 s2 receive ok key=k msg=c ack=c2
			90 s2 ack invoke ack=a2
			91 s2 ack invoke ack=b2
			92 s2 ack invoke ack=c2`, nil},
		{"a message goes to the wrong stream long after its key was taken away", begin + deliver("50", "a", "a1") + deliver("51", "b", "b1") + `
			40 s2 stream invoke
			60 st nack invoke ack=a1
			61 s2 receive ok key=k msg=a ack=a2` + deliver("900", "c", "c1") + `
			901 s2 receive ok key=k msg=b ack=b2
			902 s2 receive ok key=k msg=c ack=c2
			990 s2 ack invoke ack=a2
			991 s2 ack invoke ack=b2
			992 s2 ack invoke ack=c2`, []string{"early", "order"}},
	})
}

func TestExactlyOnce(t *testing.T) {
	begin := `
		0 admin subscribe ok once` + publishA + openStream + receiveA
	judgeAll(t, []verdict{
		{"confirmed once", begin + ackA, nil},
		{"again after a confirmation that came late", begin + `
			10040 st ack invoke ack=a1
			10045 st ack ok ack=a1
			10060 st receive ok msg=a ack=a2
			10070 st ack invoke ack=a2`, []string{"exactly once"}},
		{"stale ack id confirmed", begin + `
			10060 st receive ok msg=a ack=a2
			10900 st ack invoke ack=a1
			10910 st ack ok ack=a1
			10920 st ack invoke ack=a2`, []string{"exactly once"}},
		{"stale ack id refused", begin + `
			10060 st receive ok msg=a ack=a2
			10900 st ack invoke ack=a1
			10910 st ack fail ack=a1
			10920 st ack invoke ack=a2`, nil},
	})
}

func TestAttemptsAndDeadLetters(t *testing.T) {
	begin := `
		0 admin subscribe ok letters=dead
		0 admin subscribe ok sub=graves topic=dead` + publishA + openStream
	attempt := func(ms, ack, n string) string {
		return "\n" + ms + " st receive ok msg=a ack=" + ack + " attempt=" + n + "\n" + ms + " st nack invoke ack=" + ack
	}
	grave := `
		500 g receive ok sub=graves msg=a ack=g1 id=new pt=400
		510 g ack invoke sub=graves ack=g1`
	four := attempt("100", "a1", "1") + attempt("110", "a2", "2") + attempt("120", "a3", "3") + attempt("130", "a4", "4")
	judgeAll(t, []verdict{
		{"dead after the last attempt", begin + four + attempt("140", "a5", "5") + grave, nil},
		{"dead after one attempt more", begin + four + attempt("140", "a5", "5") + attempt("150", "a6", "6") + grave, nil},
		{"dead too early", begin + four + grave, []string{"attempts"}},
		{"never dead", begin + four + attempt("140", "a5", "5"), []string{"lost"}},
		{"lives on after its death", begin + four + attempt("140", "a5", "5") + grave + attempt("5000", "a6", "6"), []string{"attempts"}},
		{"attempt counted twice", begin + attempt("100", "a1", "1") + `
			110 st receive ok msg=a ack=a2 attempt=3
			120 st ack invoke ack=a2`, []string{"attempts"}},
		{"attempt that got lost with a broken stream", begin + attempt("100", "a1", "1") + `
			105 other stream invoke
			106 other stream fail
			110 st receive ok msg=a ack=a2 attempt=3
			120 st ack invoke ack=a2`, nil},
		{"last attempt that got lost with a broken stream", begin + four + `
			135 other stream invoke
			136 other stream fail` + grave, nil},
		{"attempts begin at zero", begin + `
			110 st receive ok msg=a ack=a2 attempt=0
			120 st ack invoke ack=a2`, []string{"attempts"}},
		{"attempt without a policy", publishA + openStream + `
			50 st receive ok msg=a ack=a1 attempt=1` + ackA, []string{"attempts"}},
		{"in the dead letter topic of nobody", `
			0 admin subscribe ok
			0 admin subscribe ok sub=graves topic=dead` + publishA + openStream + receiveA + ackA + grave, []string{"isolation"}},
	})
}
