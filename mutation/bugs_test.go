package mutation

// bugs are the mistakes that the suite must catch.
var bugs = []bug{
	{
		name: "a subscription begins at the start of its topic",
		file: "internal/ledger/ledger.go", old: "s.acked.Reset(uint64(s.Start))", new: "s.acked.Reset(0)",
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
		file: "internal/delivery/taker.go", old: "returned = s.queue.Leave(now, t.holder)", new: "_ = returned",
		pkg: "internal/delivery", run: "TestABrokenStream",
	},
	{
		name: "flow control by bytes is off by one message",
		file: "internal/delivery/taker.go", old: "bytes = t.credit.BytesMax - heldBytes", new: "bytes = t.credit.BytesMax - heldBytes + 10",
		pkg: "internal/delivery", run: "TestFlowControl",
	},
	{
		name: "the space of a deleted subscription's topic is trimmed one message too far",
		file: "internal/broker/sweep.go", old: "before = min(before, from, s.durable.Floor())", new: "before = min(before, from, s.durable.Floor()+1)",
		pkg: "internal/broker", run: "TestTrim",
	},
	{
		name: "a commit is answered without a sync",
		file: "internal/engine/disk/committer.go", old: "if s.options.Sync.Always() || c.next != nil {", new: "if c.next != nil {",
		pkg: "internal/engine/disk", run: "TestPowerCut",
	},
	{
		name: "the name of a new file is not made durable",
		file: "internal/engine/disk/layout/appear.go", old: "	if err == nil {\n\t\terr = fs.SyncDir(dir)\n\t}", new: "",
		pkg: "internal/engine/disk", run: "TestPowerCut",
	},
	{
		name: "a failed sync is forgotten",
		file: "internal/engine/disk/committer.go", old: "if err := c.segment.Writer.Sync(); err != nil {", new: "if err := c.segment.Writer.Sync(); err != nil && false {",
		pkg: "internal/engine/disk", run: "TestADiskThatFails",
	},
	{
		name: "offsets have gaps",
		file: "internal/engine/disk/append.go", old: "t.next += engine.Offset(r.Count)", new: "t.next += engine.Offset(r.Count) + 1",
		pkg: "internal/engine/disk", run: "TestContract",
	},
	{
		name: "recovery does not sync what it has read",
		file: "internal/engine/disk/recover.go", old: "errors.Join(f.Sync(), f.Close())", new: "f.Close()",
		pkg: "internal/engine/disk", run: "TestPowerCut",
	},
	{
		name: "a stale ack id is accepted",
		file: "internal/lease/settle.go", old: "	case e.turn != h.Turn:\n\t\treturn Stale\n\tcase e.state != out:\n\t\treturn Expired\n\tcase !q", new: "	case e.state != out:\n\t\treturn Expired\n\tcase !q",
		pkg: "internal/lease", run: "TestExactlyOnce|TestQueueAgrees",
	},
	{
		name: "a message comes back before its deadline",
		file: "internal/wheel/wheel.go", old: "end := now >> tickBits // ticks", new: "end := now>>tickBits + 1 // ticks",
		pkg: "internal/wheel", run: "Test",
	},
	{
		name: "an acknowledged run is one message longer",
		file: "internal/ackset/ackset.go", old: "s.discard(s.Next(to))", new: "s.discard(s.Next(to + 1))",
		pkg: "internal/ackset", run: "TestSetAgrees",
	},
	{
		name: "a request may have one message less than the limit",
		file: "internal/wire/publish.go", old: "case p.Count > limit.PublishMessagesMax:", new: "case p.Count >= limit.PublishMessagesMax:",
		pkg: "internal/wire", run: "TestPublishLimits",
	},
	{
		name: "an acknowledgement from before a seek takes effect behind it",
		file: "internal/ledger/ledger.go", old: "		return Change{Op: OpAcked}, nil // made before a seek", new: "		n.seeks = 0",
		pkg: "internal/broker", run: "TestAnAcknowledgementThatTheLogTakesIn",
	},
	{
		name: "a seek leaves old handles valid",
		file: "internal/lease/turn.go", old: "t.void = t.last }", new: "}",
		pkg: "internal/broker", run: "TestAckIDsFromBeforeASeek|TestSeeksAndSnapshots",
	},
	{
		name: "an ack id from before a restart and a seek counts",
		file: "internal/delivery/settle.go", old: "uint64(id.Epoch) <= s.durable.Sought().Epoch || ", new: "",
		pkg: "internal/broker", run: "TestAckIDsFromBeforeASeek",
	},
	{
		name: "a snapshot keeps nothing",
		file: "internal/broker/sweep.go", old: "before = min(before, s.keeps)", new: "_ = s.keeps",
		pkg: "internal/broker", run: "TestASnapshotBringsBack",
	},
	{
		name: "a snapshot shares its offsets with its subscription",
		file: "internal/ledger/snapshot.go", old: "s.acked = of.acked.Clone()", new: "s.acked = of.acked",
		pkg: "internal/ledger", run: "TestASnapshotIsWhat",
	},
	{
		name: "a configuration of push that changed is followed late",
		file: "internal/push/pump.go", old: "	p.renew()\n", new: "",
		pkg: "internal/push", run: "TestEndpointThatMoves",
	},
	{
		name: "the answers that come while the broker stops are forgotten",
		file: "internal/push/pump.go", old: "for p.settle() > 0 {", new: "for false {",
		pkg: "internal/push", run: "TestEndTakesIn",
	},
	{
		name: "posts from before a pause make it longer",
		file: "internal/push/pace.go", old: "!p.failing() || began < p.until {", new: "!p.failing() {",
		pkg: "internal/push", run: "TestPausesDouble",
	},
	{
		name: "a signing key is forgotten while its tokens are valid",
		file: "internal/oidc/oidc.go", old: "int64(announceTime+tokenTime)+int64(time.Minute)", new: "int64(announceTime)",
		pkg: "internal/oidc", run: "TestEveryToken",
	},
	{
		name: "a signing key signs before verifiers can know it",
		file: "internal/oidc/oidc.go", old: ">= int64(announceTime) {", new: ">= 0 {",
		pkg: "internal/oidc", run: "TestEveryToken",
	},
	{
		name: "an owner that was shut out goes on",
		file: "internal/engine/disk/shard.go", old: "	s.halt(engine.ErrFenced)\n", new: "",
		pkg: "internal/engine/disk", run: "TestContract",
	},
	{
		name: "a checkpoint forgets the floor",
		file: "internal/ledger/checkpoint.go", old: "	l.subscriptions[s.ID] = s\n", new: "	s.acked.Cut(uint64(s.Start))\n	l.subscriptions[s.ID] = s\n",
		pkg: "internal/ledger", run: "TestALedgerFromACheckpoint",
	},
	{
		name: "a checkpoint forgets failures",
		file: "internal/ledger/checkpoint.go", old: "return s.appendFailures(b), scratch", new: "return append(b, 0), scratch",
		pkg: "internal/ledger", run: "TestOnlyOpenMessagesHaveFailures",
	},
	{
		name: "a failure from before a seek takes effect behind it",
		file: "internal/ledger/failure.go", old: "	if n.seeks != s.seeks {", new: "	if n.seeks > s.seeks {",
		pkg: "internal/ledger", run: "TestFailuresAreKnown",
	},
	{
		name: "a detached subscription keeps its backlog",
		file: "internal/ledger/detach.go", old: "	s.acked.Reset(detachedFloor)\n", new: "",
		pkg: "internal/ledger", run: "TestADetached",
	},
	{
		name: "an extended lease ends at its old deadline",
		file: "internal/lease/settle.go", old: "	q.wheel.Set(now, h.Slot, deadline)\n",
		new: "	old, _ := q.wheel.At(h.Slot)\n	q.wheel.Set(now, h.Slot, min(old, deadline))\n",
		pkg: "internal/lease", run: "TestQueueAgrees",
	},
	{
		name: "a lease counts at the moment it ends",
		file: "internal/lease/settle.go", old: "!set || deadline <= now {", new: "!set || deadline < now {",
		pkg: "internal/lease", run: "TestExactlyOnce|TestQueueAgrees",
	},
	{
		name: "the next message of a key is lost when the one before is acknowledged",
		file: "internal/lease/key.go", old: "	if first || wasOut && c.out == 0 {", new: "	if first && !wasOut {",
		pkg: "internal/lease", run: "TestHolderZero|TestKeyStays|TestQueueAgrees",
	},
	{
		name: "a publish time that its client made up is stored",
		file: "internal/wire/rewrite.go", old: "			ok = validTimestamp(one.bytes)\n",
		new: "			ok = validTimestamp(one.bytes)\n			p.message = protowire.AppendBytes(append(p.message, 0x22), one.bytes)\n",
		pkg: "internal/wire", run: "TestPublishLeavesOut",
	},
	{
		name: "an acknowledgement is forgotten when its caller is gone",
		file: "internal/delivery/settle.go", old: "Shard.Append(context.Background(), one[:])", new: "Shard.Append(ctx, one[:])",
		pkg: "internal/broker", run: "TestAnAcknowledgementCounts",
	},
	{
		name: "a stream sleeps on after a message for which it had no room",
		file: "internal/delivery/taker.go", old: "		if q.choosy {", new: "		if q.choosy && len(q.takers) == 0 {",
		pkg: "internal/delivery", run: "TestAMessageReachesAStream",
	},
	{
		name: "a dead letter is not acknowledged where it died",
		file: "internal/delivery/forwarder.go", old: "f.sub.durable.ID, f.seeks, f.offsets)", new: "f.sub.durable.ID, f.seeks, f.offsets[:0])",
		pkg: "internal/broker", run: "Dead|Forward",
	},
	{
		name: "a clock that is set forward makes messages older",
		file: "internal/retention/retention.go", old: "c.jumps = append(c.jumps, jump{mono: mono, before: expected})", new: "_ = jump{}",
		pkg: "internal/retention", run: "TestAClockSetForward",
	},
	{
		name: "a snapshot expires by the time of day alone",
		file: "internal/broker/snapshot.go", old: "b.calendar.Over(mono, wall, s.given, s.expire)", new: "mono >= 0 && wall >= s.expire",
		pkg: "internal/broker", run: "TestAJumpOfTheWallClock",
	},
	{
		name: "what outlived its retention while the broker was down is delivered until the first sweep",
		file: "internal/broker/broker.go", old: "b.dropExpired(ctx)", new: "_ = ctx",
		pkg: "internal/broker", run: "TestMessagesThatOutlived",
	},
	{
		name: "messages that are out outlive their retention",
		file: "internal/broker/sweep.go", old: "		s.work.SkipTo(before, seeks)\n", new: "",
		pkg: "internal/broker", run: "TestSimulation", long: true,
	},
	{
		name: "what a filter shuts out takes a wanted message along",
		file: "internal/delivery/unwanted.go", old: "u.runs[n-1].To == off {", new: "u.runs[n-1].To <= off {",
		pkg: "internal/broker", run: "TestSimulation", long: true,
	},
	{
		name: "a seek to a snapshot keeps what was acknowledged since",
		file: "internal/ledger/snapshot.go", old: "	s.acked = to.acked.Clone()\n", new: "	s.acked.AddRange(s.acked.Floor(), to.acked.Floor())\n",
		pkg: "internal/broker", run: "TestASnapshotBringsBack",
	},
	{
		name: "a key goes to whoever comes while a message of it is out",
		file: "internal/lease/key.go", old: "		lines = &q.holders[c.holder].lines\n", new: "		lines = &q.lines\n",
		pkg: "internal/broker", run: "TestSimulation", long: true,
	},
	{
		name: "a message that is given back leaves its successors where they are",
		file: "internal/lease/queue.go", old: "		at = later.keyNext\n", new: "		at = 0\n",
		pkg: "internal/broker", run: "TestSimulation", long: true,
	},
	{
		name: "an extension is confirmed and dropped",
		file: "internal/delivery/settle.go", old: "		return s.queue.Extend(now, h, id.Offset, now+int64(deadline))\n", new: "		return lease.Done\n",
		pkg: "internal/broker", run: "TestSimulation", long: true,
	},
	{
		name: "a failed delivery counts twice",
		file: "internal/lease/settle.go", old: "	if e.failures++; e.failures == 0 {", new: "	if e.failures += 2; e.failures == 0 {",
		pkg: "internal/broker", run: "TestSimulation", long: true,
	},
	{
		name: "messages that come again are read with all that follows them",
		file: "internal/reader/reader.go", old: "if !r.seek(off) && !r.recall(off) {", new: "if !r.seek(off) {",
		pkg: "internal/reader", run: "TestFindingMany",
	},
}
