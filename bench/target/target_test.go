package target

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/bench/fake"
	"github.com/posthaste-io/posthaste/bench/peer"
	"github.com/posthaste-io/posthaste/bench/report"
)

// TestMain lets this test's executable be started again as one of the yardsticks.
func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	handled, err := peer.Child(ctx, os.Args[1:], os.Stdout)
	stop()
	if !handled {
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func tiny(t *testing.T) Options {
	t.Helper()
	return Options{Data: t.TempDir(), AllowMemory: true, Duration: 200 * time.Millisecond, Rounds: 1, Connections: 2, InFlight: 4,
		Pairs: 20, Backlog: 2000, SettleMax: time.Second}
}

func rowsOf(r *report.Report, id string) []report.Row {
	var rows []report.Row
	for _, row := range r.Rows {
		if row.ID == id {
			rows = append(rows, row)
		}
	}
	return rows
}

// measuredNothing tells whether a figure is 0 that cannot be.
func measuredNothing(row report.Row) bool {
	return row.Unknown == "" && row.Measured.Value <= 0 && row.Work != "memory of an idle pair"
}

func TestRunMeasuresABrokerBesideItsYardsticks(t *testing.T) {
	server, err := fake.Start(fake.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	options := tiny(t)
	options.Address, options.Pid = server.Address, os.Getpid()
	options.Only = []string{"T1", " T3", "T7", "T8", "T10", "T12", "T13", "poison"}
	var result *report.Report
	for { // a machine may be too busy to do anything that can be measured in a tiny while, or to tick off CPU time
		if result, err = Run(t.Context(), options); err != nil {
			t.Fatal(err)
		}
		if options.Duration *= 5; options.Duration > time.Minute || !slices.ContainsFunc(result.Rows, measuredNothing) {
			break
		}
	}
	for id, want := range map[string]int{"T1": 1, "T3": 1, "T7": 2, "T12": 2, "T13": 2, "poison": 1} {
		rows := rowsOf(result, id)
		if len(rows) != want {
			t.Fatalf("%s has %d rows, want %d", id, len(rows), want)
		}
		for _, row := range rows {
			if row.Unknown != "" || measuredNothing(row) {
				t.Errorf("%s %s: %v %s", row.ID, row.Work, row.Measured, row.Unknown)
			}
		}
	}
	if _, ok := rowsOf(result, "T1")[0].Ratio(); !ok {
		t.Error("T1 has no ratio to its yardstick")
	}
	for _, row := range append(rowsOf(result, "T8"), rowsOf(result, "T10")...) {
		if row.Unknown == "" {
			t.Errorf("%s: the start of a running broker was measured", row.ID)
		}
	}
	if !slices.IsSortedFunc(result.Rows, func(a, b report.Row) int { return len(a.ID) - len(b.ID) }) {
		t.Error("rows are not in the order of their ids")
	}
	if server.Resources() != 0 {
		t.Errorf("%d topics and subscriptions were left on the broker", server.Resources())
	}
	entries, err := os.ReadDir(options.Data)
	if err != nil || len(entries) != 0 {
		t.Errorf("files were left behind: %v, %v", entries, err)
	}
}

func TestRunFailsOnLossAndStillReportsTheRest(t *testing.T) {
	server, err := fake.Start(fake.Faults{RefuseMessage: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	options := tiny(t)
	options.Address, options.Only = server.Address, []string{"sync", "T2"}
	result, err := Run(t.Context(), options)
	if err == nil || !strings.Contains(err.Error(), "told to refuse") {
		t.Errorf("got %v", err)
	}
	if result == nil || len(result.Figures) != 1 {
		t.Errorf("the disk's figure is missing: %+v", result)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"unknown target":    func(o *Options) { o.Only = []string{"T99"} },
		"no rounds":         func(o *Options) { o.Rounds = 0 },
		"no jar":            func(o *Options) { o.Only = []string{"emulator"} },
		"odd backlog":       func(o *Options) { o.Backlog = 1500 },
		"no connections":    func(o *Options) { o.Connections = 0 },
		"negative duration": func(o *Options) { o.Duration = -1 },
	} {
		options := tiny(t)
		change(&options)
		if _, err := Run(t.Context(), options); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestEverythingIsMeasuredUnlessChosen(t *testing.T) {
	all := Options{}
	if !all.wants("T1") || all.wants("jetstream") || all.wants("emulator") {
		t.Error("without a choice: want the targets, and only peers that are asked for")
	}
	if all.JetStream = true; !all.wants("jetstream") {
		t.Error("JetStream was asked for")
	}
	one := Options{Only: []string{"T3"}, JetStream: true}
	if !one.wants("T3") || one.wants("T1") || one.wants("jetstream") {
		t.Error("with a choice: want just that")
	}
}

func TestThirdsTakeMediansOfTheMiddleAndTheEnd(t *testing.T) {
	for _, c := range []struct {
		samples      []int64
		middle, last int64
	}{
		{[]int64{7}, 7, 7},
		{[]int64{1, 2}, 1, 2},
		{[]int64{9, 9, 9, 1, 2, 3, 4, 6, 5}, 2, 5},
	} {
		if middle, last := thirds(c.samples); middle != c.middle || last != c.last {
			t.Errorf("%v: %d and %d, want %d and %d", c.samples, middle, last, c.middle, c.last)
		}
	}
}
