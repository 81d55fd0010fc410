package report_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/posthaste-io/posthaste/bench/report"
)

func TestQuantityKeepsThreeDigits(t *testing.T) {
	for _, c := range []struct {
		value float64
		want  string
	}{{648_213, "648k u"}, {2_310_000, "2.31M u"}, {5834, "5834 u"}, {1.5234, "1.52 u"}, {12.34, "12.3 u"}, {0, "0 u"}, {100, "100 u"},
		{46_000, "46k u"}, {46_190, "46.2k u"}, {0.5, "0.50 u"}} {
		if got := (report.Quantity{Value: c.value, Unit: "u"}).String(); got != c.want {
			t.Errorf("%v is written %q, want %q", c.value, got, c.want)
		}
	}
}

func row(measured, yardstick float64, bar report.Bar) report.Row {
	return report.Row{ID: "T1", Work: "w", Measured: report.Quantity{Value: measured, Unit: "msg/s"},
		Yardstick: "N", Against: &report.Quantity{Value: yardstick, Unit: "msg/s"}, Bar: bar}
}

func TestBarIsMetOnItsOwnSideOnly(t *testing.T) {
	for _, c := range []struct {
		name       string
		row        report.Row
		met, known bool
	}{
		{"ratio reached exactly", row(75, 100, report.Bar{Bound: report.AtLeast, Ratio: true, Limit: 0.75}), true, true},
		{"ratio missed", row(74, 100, report.Bar{Bound: report.AtLeast, Ratio: true, Limit: 0.75}), false, true},
		{"value reached", row(400, 1, report.Bar{Bound: report.AtLeast, Limit: 400}), true, true},
		{"value above the most", row(401, 1, report.Bar{Bound: report.AtMost, Limit: 400}), false, true},
		{"value below the most", row(399, 1, report.Bar{Bound: report.AtMost, Limit: 400}), true, true},
		{"no bar", row(1, 1, report.Bar{}), false, false},
		{"yardstick of zero", row(1, 0, report.Bar{Bound: report.AtLeast, Ratio: true, Limit: 1}), false, false},
		{"no figure", report.Row{Unknown: "why", Bar: report.Bar{Bound: report.AtMost, Limit: 1}}, false, false},
	} {
		if met, known := c.row.Met(); met != c.met || known != c.known {
			t.Errorf("%s: met %v known %v", c.name, met, known)
		}
	}
}

func TestTableIsAlignedAndLeavesEmptyColumnsOut(t *testing.T) {
	r := report.Report{Machine: []string{"2 CPUs"}, Rows: []report.Row{
		row(700_000, 650_000, report.Bar{Bound: report.AtLeast, Ratio: true, Limit: 1}),
		{ID: "T13", Work: "µ work", Unknown: "no process", Bar: report.Bar{Bound: report.AtMost, Limit: 3}},
		{ID: "T5", Work: "p99", Measured: report.Quantity{Value: 9, Unit: "ms"}, Bar: report.Bar{Bound: report.AtMost, Limit: 8}},
	}}
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := `2 CPUs

id   work    measured    yardstick     ratio  bar         met?  note
T1   w       700k msg/s  N 650k msg/s  1.08   ≥ 1 × N     yes
T13  µ work  -                                ≤ 3         -     no process
T5   p99     9 ms                             ≤ 8 ms      NO
`
	normal := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	if normal(b.String()) != normal(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	lines := strings.Split(b.String(), "\n")
	column := len([]rune(lines[2][:strings.Index(lines[2], "bar")]))
	for _, line := range lines[3:6] {
		if r := []rune(line); r[column-1] != ' ' || (r[column] != '≥' && r[column] != '≤') {
			t.Errorf("the bar does not begin at column %d of %q", column, line)
		}
	}
	if r.Missed() != 1 {
		t.Errorf("%d missed, want 1", r.Missed())
	}
	r.Rows = r.Rows[2:]
	b.Reset()
	if err := r.WriteText(&b); err != nil || strings.Contains(b.String(), "yardstick") {
		t.Errorf("%v: an empty column is shown:\n%s", err, b.String())
	}
}

func TestJSONHoldsDerivedValuesAndNullForWhatDoesNotExist(t *testing.T) {
	r := report.Report{Rows: []report.Row{
		row(50, 100, report.Bar{Bound: report.AtLeast, Ratio: true, Limit: 1}),
		{ID: "T9", Work: "memory", Unknown: "no process"},
	}, Figures: []report.Figure{{Server: "N", Work: "w", Rate: report.Quantity{Value: 1, Unit: "msg/s"}}}}
	var b strings.Builder
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Targets []struct {
			ID       string
			Measured *report.Quantity
			Ratio    *float64
			Met      *bool
			Unknown  string
		}
		Figures []report.Figure
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	first, second := got.Targets[0], got.Targets[1]
	if first.Ratio == nil || *first.Ratio != 0.5 || first.Met == nil || *first.Met || first.Measured.Value != 50 {
		t.Errorf("first row: %+v", first)
	}
	if second.Measured != nil || second.Ratio != nil || second.Met != nil || second.Unknown == "" || len(got.Figures) != 1 {
		t.Errorf("second row: %+v", second)
	}
}
