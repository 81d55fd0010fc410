package blackbox

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// behaviour is what stands behind a row of the table of behaviours in docs/COMPATIBILITY.md.
type behaviour struct {
	// says is a regular expression for all that the row says of Posthaste. Its groups are the figures and words that check gets: nothing
	// can be said there that is not checked, and a figure stands there only.
	says string
	// check tries it. It runs beside the others unless it measures time, which is alone then.
	check func(t *testing.T, said []string)
	alone bool
	// tests of this package that try it, too. They run without the table, and for the table only on a server that was given from outside.
	tests []func(*testing.T)
	// elsewhere are tests of other packages, "folder TestName", for what a client cannot see: a day that passes, a power cut.
	elsewhere []string
}

// TestBehaviour holds what docs/COMPATIBILITY.md says of Posthaste's behaviour against the broker.
func TestBehaviour(t *testing.T) {
	seen := make(map[string]bool)
	for _, row := range compatibility(t) {
		if row.heading != "Behaviour" || row.cells[0] == "" {
			continue
		}
		b, known := behaviours[row.cells[0]]
		if !known || len(row.cells) != 4 || seen[row.cells[0]] {
			t.Errorf("line %d: %q has no check, stands twice or has no four cells", row.line, row.cells[0])
			continue
		}
		seen[row.cells[0]] = true
		said := regexp.MustCompile("^" + b.says + "$").FindStringSubmatch(row.cells[1])
		if said == nil {
			t.Errorf("line %d: %q says\n      %s\nchecked is %s", row.line, row.cells[0], row.cells[1], b.says)
			continue
		}
		t.Run(row.cells[0], func(t *testing.T) { b.verify(t, said) })
	}
	for name := range behaviours {
		if !seen[name] {
			t.Errorf("%q is checked and has no row", name)
		}
	}
}

func (b *behaviour) verify(t *testing.T, said []string) {
	if !b.alone {
		t.Parallel()
	}
	if b.check == nil && len(b.tests) == 0 {
		t.Error("nothing checks it")
	}
	for _, name := range b.elsewhere {
		folder, test, _ := strings.Cut(name, " ")
		if !hasTest(t, folder, test) {
			t.Errorf("%s has no %s", folder, test)
		}
	}
	if os.Getenv("POSTHASTE_TEST_ADDR") != "" {
		for i, test := range b.tests {
			t.Run("test"+strconv.Itoa(i), test)
		}
	}
	if b.check != nil {
		b.check(t, said)
	}
}

// hasTest reports whether a package of this module has a test of the name.
func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(t *testing.T) {") {
			return true
		}
	}
	return false
}

// figure is a number of the table: 10,000,000.
func figure(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.ReplaceAll(text, ",", ""))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// behaviours are the checks by the names of their rows. A number in the table is a group here.
var behaviours = map[string]behaviour{
	"data over a restart": {says: "kept, on disk before Publish answers", check: keptOverACrash,
		elsewhere: []string{"internal/engine/disk TestPowerCutAtEveryOperation", "internal/engine/disk TestSyncModesLoseWhatTheySay"}},
	"who may do what":      {says: "everybody everything", check: everybodyMayDoEverything},
	"projects":             {says: "any id, without set-up", check: anyProject},
	"quotas of throughput": {says: "none but the machine", check: noQuotas},
	"at least once, and with exactly-once delivery at most one valid ack id": {says: "yes", check: oneValidAckID,
		tests: []func(*testing.T){TestWithExactlyOnceOnlyTheNewestAckIDCounts, TestSubscriptionDeadlineEndsALeaseOfPull}},
	"ack ids": {says: "letters, digits, `-` and `_`, up to (.*) characters", check: formOfAckIDs},
	"ack ids of the same message from an earlier delivery": {says: "settle it still, without exactly-once delivery", check: earlierAckIDs,
		tests: []func(*testing.T){TestWithExactlyOnceOnlyTheNewestAckIDCounts}},
	"ack ids in a request": {says: "up to (.*) bytes, which hold more than (.*)", check: ackIDsOfARequest, tests: []func(*testing.T){TestManyAckIDsFitIntoOneRequest}},
	"message ids":          {says: "decimal numbers of 64 bits, whatever the publisher set", tests: []func(*testing.T){TestPublishGivesMessagesTheirIdentity}},
	"delivery attempts": {says: "counted from 1 with a dead letter policy, 0 without", check: attemptsAreCounted,
		tests: []func(*testing.T){TestAttemptsAreToldOnlyWithAPolicyAndOutliveItsAbsence}},
	"order of a key over nacks and deadlines": {says: "kept: what follows comes again, too", check: orderIsKept},
	"with exactly-once delivery and order: ids in one extension beside some whose messages came back": {
		says:  "extended, and not named; Google's clients for Go and Node are told `TRANSIENT_FAILURE_REPEAT_REQUEST` of them, as they would drop what is not named",
		tests: []func(*testing.T){TestWithExactlyOnceAndOrderAnExtensionBesideEndedLeasesIsAskedForAgain}},
	"with exactly-once delivery and order: acknowledgements that come before their turn": {
		says: "wait (.*) s for the earlier ones, longer while these come; then refused as unordered", check: acksWaitForTheirTurn,
		tests: []func(*testing.T){TestWithExactlyOnceAndOrderRequestsAtOnceAcknowledgeTogether, TestWithExactlyOnceAndOrderAcksKeepTheOrder}},
	"a message of a key that waits for its backoff":       {says: "holds up its own key only", tests: []func(*testing.T){TestWithOrderABackoffHoldsBackItsKeyOnly}},
	"a stream's limits of outstanding messages and bytes": {says: "kept exactly", tests: []func(*testing.T){TestFlowControlByMessages, TestFlowControlByBytes, TestFlowControlHoldsUnderNacksAndExpiriesOfSeveralStreams}},
	"keep-alives of streams":                              {says: "answered from protocol version (.*) on", check: pingsAreAnswered},
	"streams end":                                         {says: "when the broker stops, or their subscription is deleted, detached or pushed", check: streamsEnd},
	"messages of a stream that broke":                     {says: "come again at once", tests: []func(*testing.T){TestBrokenStreamGivesItsMessagesBackAtOnce}},
	"filters": {says: "in effect, up to (.*) bytes", check: filtersAreInEffect,
		tests: []func(*testing.T){TestClientReceivesWhatAFilterWantsAndNothingElse}},
	"dead letters": {says: "exact, after (.*) to (.*) attempts, with `(.*)` and `(.*)` besides", check: deadLettersAreExact,
		tests: []func(*testing.T){TestAMessageIsADeadLetterAfterItsLastAttempt}},
	"retry policy": {says: "doubles from the minimum to the maximum, and up to a tenth longer", tests: []func(*testing.T){TestBackoffDoublesFromItsMinimumToItsMaximum},
		elsewhere: []string{"internal/lease TestBackoffDoublesUpToItsMaximum"}},
	"ack deadlines":         {says: "(.*) to (.*) seconds, (.*) unless set", check: rangeOfAckDeadlines},
	"retention of messages": {says: "(.*) minutes to (.*) days; of a subscription's (.*) days unless set", check: rangeOfRetention},
	"subscriptions expire": {says: "after (.*) days without use unless set, (.*) day at least", check: rangeOfExpiration,
		elsewhere: []string{"internal/broker TestASubscriptionThatNobodyUsesExpiresOnTime", "internal/broker TestUseKeepsASubscription"}},
	"a new subscription on a topic with retention": {says: "begins at its creation, and can seek back", check: newSubscriptionBegins},
	"seek": {says: "exact and durable when it is answered",
		tests: []func(*testing.T){TestSeekBackDeliversAgainAndForwardPurges, TestSeekSurvivesACrash}},
	"snapshots":                {says: "for every subscription of the topic", tests: []func(*testing.T){TestSnapshotRoundTrip}},
	"topics of other projects": {says: "may be subscribed to", tests: []func(*testing.T){TestATopicListsSubscriptionsOfOtherProjects}},
	"a name that is taken":     {says: "is told before anything that is missing", check: takenNames},
	"a deleted topic": {says: "leaves its subscriptions their backlog, and `_deleted-topic_` as their topic",
		tests: []func(*testing.T){TestDeletedTopicLeavesItsBacklog}},
	"a deleted subscription":      {says: "ends its streams and waiting pulls with NOT_FOUND", tests: []func(*testing.T){TestDeletedSubscriptionEndsItsStreamsAndPulls}},
	"lists":                       {says: "pages of (.*) unless set, (.*) at most, in the order of names", check: sizesOfPages},
	"push: acknowledging answers": {says: "([0-9, ]*)", check: pushStatusDecides},
	"push: speed":                 {says: "grows with success, backs off on failure", check: pushAdaptsItsSpeed},
	"push: tokens":                {says: "signed by this server, which serves its keys", tests: []func(*testing.T){TestPushCarriesATokenThatTheServedKeysVerify}},
	"schemas": {says: "Avro and Protocol Buffers, up to (.*) bytes and (.*) revisions, compatible ones only", check: limitsOfSchemas,
		tests: []func(*testing.T){TestPublishHoldsMessagesAgainstTheSchema}},
	"message transforms": {says: "run: JavaScript and compression, up to (.*)", check: numberOfTransforms,
		tests: []func(*testing.T){TestTopicTransforms, TestSubscriptionTransformsWithGooglesClient, TestCompressionTransforms}},
	"exports and ingestion": {says: "kept and returned; a state of (.*) says that nothing is written or read, and messages can be pulled", check: inertSettings},
	"Pull without messages": {says: "an empty answer after a minute, or shortly before the client's deadline", tests: []func(*testing.T){TestWaitingPullAnswersBeforeTheDeadline},
		elsewhere: []string{"internal/google TestPullsAreAnsweredBeforeTheirDeadline"}},
	"an answer to Pull":          {says: "up to (.*) messages and (.*) bytes", check: sizeOfPull},
	"messages of a Publish":      {says: "1 to (.*), none of them empty, all of one ordering key", check: messagesOfAPublish, tests: []func(*testing.T){TestPublishRefusals}},
	"attributes of a message":    {says: "up to (.*), names of (.*) bytes, values of (.*)", check: limitsOfAttributes},
	"ordering keys":              {says: "up to (.*) bytes", check: limitOfOrderingKeys},
	"labels of a resource":       {says: "up to (.*), of (.*) characters", check: limitsOfLabels},
	"largest Publish":            {says: "(.*) bytes, (.*) above; what has more than (.*) MiB over gRPC, or (.*) MiB over REST, is refused unread", check: largestPublish},
	"errors over REST":           {says: "Google's texts, `BadRequest` details for unknown fields", tests: []func(*testing.T){TestRESTErrors}},
	"parts of answers over REST": {says: "`fields=(.*)`; (.*) for a field that is none", check: partsOfAnswers},
	"server reflection":          {says: "none", check: noReflection},
	"`GET /`":                    {says: "`(.*)`", check: rootAnswers},
	"`POST /reset`":              {says: "with `--dev`", tests: []func(*testing.T){TestResetNeedsDev}},
	"ready after":                {says: "less than (.*) s", check: readySoon, alone: true},
}
