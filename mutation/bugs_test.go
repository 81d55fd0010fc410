package mutation

// bugs are the mistakes that the suite must catch.
var bugs = []bug{
	{
		name: "a subscription begins at the start of its topic",
		file: "internal/ledger/ledger.go", old: "s.acked.Reset(t.end.Load())", new: "s.acked.Reset(0)",
		pkg: "internal/ledger", run: "TestASubscriptionBegins",
	},
	{
		name: "a checkpoint forgets what is acknowledged above the floor",
		file: "internal/ledger/checkpoint.go", old: "scratch = s.acked.AppendBinary(scratch)",
		new: "{ var floor ackset.Set; floor.Reset(s.acked.Floor()); scratch = floor.AppendBinary(scratch) }",
		pkg: "internal/ledger", run: "TestALedgerFromACheckpoint",
	},
	{
		name: "messages of a broken stream wait for their deadline",
		file: "internal/broker/taker.go", old: "returned = s.queue.Leave(s.broker.clock.Mono(), t.holder)", new: "_ = returned",
		pkg: "internal/broker", run: "TestABrokenStream",
	},
	{
		name: "flow control by bytes is off by one message",
		file: "internal/broker/taker.go", old: "bytes = t.credit.BytesMax - heldBytes", new: "bytes = t.credit.BytesMax - heldBytes + 10",
		pkg: "internal/broker", run: "TestFlowControl",
	},
	{
		name: "the space of a deleted subscription's topic is trimmed one message too far",
		file: "internal/broker/sweep.go", old: "before = min(before, s.durable.Floor())", new: "before = min(before, s.durable.Floor()+1)",
		pkg: "internal/broker", run: "TestTrim",
	},
}
