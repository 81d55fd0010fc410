// Package report holds what a benchmark measured, as rows with a bar to reach and as figures beside them, and writes it as an aligned
// table or as JSON.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// Quantity is a figure with its unit.
type Quantity struct {
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// String writes three significant digits and a suffix for thousands: 648k msg/s, 1.52 ms.
func (q Quantity) String() string { return number(q.Value) + " " + q.Unit }

func number(v float64) string {
	for _, scale := range []struct {
		factor float64
		suffix string
	}{{1e6, "M"}, {1e4, "k"}} {
		if math.Abs(v) >= scale.factor {
			if scale.suffix == "k" {
				return digits(v/1e3) + "k"
			}
			return digits(v/scale.factor) + scale.suffix
		}
	}
	return digits(v)
}

// digits keeps three significant digits, and every digit before the point.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || a == math.Trunc(a):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// Bound says on which side of a bar a figure has to lie.
type Bound int

// The bounds.
const (
	NoBar Bound = iota
	AtLeast
	AtMost
)

// Bar is what a row has to reach: a limit for the ratio if Ratio is set, else for the measured value, in its unit.
type Bar struct {
	Bound Bound
	Ratio bool
	Limit float64
	Text  string // instead of the usual wording; may be empty
}

// Row is one line of the table of targets.
type Row struct {
	ID        string // of the target: T1
	Work      string
	Measured  Quantity
	Yardstick string    // its name; empty = none
	Against   *Quantity // the yardstick's figure; nil = none
	Bar       Bar
	Note      string
	Unknown   string // why there is no figure; empty = there is one
}

// Ratio is measured over yardstick; false without a yardstick.
func (r Row) Ratio() (float64, bool) {
	if r.Unknown != "" || r.Against == nil || r.Against.Value == 0 {
		return 0, false
	}
	return r.Measured.Value / r.Against.Value, true
}

// Met says whether the bar is reached; known is false when there is no bar or no figure.
func (r Row) Met() (met, known bool) {
	if r.Unknown != "" || r.Bar.Bound == NoBar {
		return false, false
	}
	value := r.Measured.Value
	if r.Bar.Ratio {
		ratio, ok := r.Ratio()
		if !ok {
			return false, false
		}
		value = ratio
	}
	if r.Bar.Bound == AtLeast {
		return value >= r.Bar.Limit, true
	}
	return value <= r.Bar.Limit, true
}

func (r Row) barText() string {
	sign := map[Bound]string{AtLeast: "≥ ", AtMost: "≤ "}[r.Bar.Bound]
	switch {
	case r.Bar.Bound == NoBar:
		return "-"
	case r.Bar.Text != "":
		return r.Bar.Text
	case r.Bar.Ratio:
		return sign + digits(r.Bar.Limit) + " × " + r.Yardstick
	default:
		return sign + Quantity{Value: r.Bar.Limit, Unit: r.Measured.Unit}.String()
	}
}

// Figure is what one server did in one work, for reading beside the rows.
type Figure struct {
	Server     string   `json:"server"`
	Work       string   `json:"work"`
	Rate       Quantity `json:"rate"`
	P50        string   `json:"p50,omitempty"`
	P99        string   `json:"p99,omitempty"`
	CPU        string   `json:"serverCPUPerMessage,omitempty"`
	Generator  string   `json:"generatorCPUPerMessage,omitempty"`
	MemoryPeak string   `json:"serverMemoryPeak,omitempty"`
}

// Report is everything that one run found.
type Report struct {
	Machine []string // lines on the machine and the run
	Rows    []Row
	Figures []Figure
}

// Missed counts the rows whose bar is not reached.
func (r *Report) Missed() int {
	missed := 0
	for _, row := range r.Rows {
		if met, known := row.Met(); known && !met {
			missed++
		}
	}
	return missed
}

// WriteText writes the lines on the machine, the table of targets and the table of figures; empty tables are left out.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, line := range r.Machine {
		fmt.Fprintln(&b, line)
	}
	if len(r.Rows) > 0 {
		table := [][]string{{"id", "work", "measured", "yardstick", "ratio", "bar", "met?", "note"}}
		for _, row := range r.Rows {
			table = append(table, row.cells())
		}
		writeTable(&b, table)
	}
	if len(r.Figures) > 0 {
		table := [][]string{{"server", "work", "figure", "p50", "p99", "server CPU/msg", "generator CPU/msg", "peak memory"}}
		for _, f := range r.Figures {
			table = append(table, []string{f.Server, f.Work, f.Rate.String(), f.P50, f.P99, f.CPU, f.Generator, f.MemoryPeak})
		}
		writeTable(&b, table)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Row) cells() []string {
	if r.Unknown != "" {
		return []string{r.ID, r.Work, "-", "", "", r.barText(), "-", r.Unknown}
	}
	yardstick, ratio, met := "", "", "-"
	if r.Against != nil {
		yardstick = r.Yardstick + " " + r.Against.String()
	}
	if value, ok := r.Ratio(); ok {
		ratio = fmt.Sprintf("%.2f", value)
	}
	if isMet, known := r.Met(); known {
		met = map[bool]string{true: "yes", false: "NO"}[isMet]
	}
	return []string{r.ID, r.Work, r.Measured.String(), yardstick, ratio, r.barText(), met, r.Note}
}

// writeTable aligns columns by characters; columns without any content below the heading are left out.
func writeTable(b *strings.Builder, table [][]string) {
	widths := make([]int, len(table[0]))
	used := make([]bool, len(table[0]))
	for i, row := range table {
		for column, cell := range row {
			widths[column] = max(widths[column], utf8.RuneCountInString(cell))
			used[column] = used[column] || i > 0 && cell != ""
		}
	}
	b.WriteByte('\n')
	for _, row := range table {
		line := ""
		for column, cell := range row {
			if used[column] {
				line += cell + strings.Repeat(" ", widths[column]-utf8.RuneCountInString(cell)+2)
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// jsonRow is Row as it is written: every derived value is there, and what does not exist is null.
type jsonRow struct {
	ID        string    `json:"id"`
	Work      string    `json:"work"`
	Measured  *Quantity `json:"measured"`
	Yardstick string    `json:"yardstick,omitempty"`
	Against   *Quantity `json:"yardstickMeasured,omitempty"`
	Ratio     *float64  `json:"ratio"`
	Bar       string    `json:"bar"`
	Met       *bool     `json:"met"`
	Note      string    `json:"note,omitempty"`
	Unknown   string    `json:"unknown,omitempty"`
}

// WriteJSON writes one object.
func (r *Report) WriteJSON(w io.Writer) error {
	out := struct {
		Machine []string  `json:"machine"`
		Targets []jsonRow `json:"targets"`
		Figures []Figure  `json:"figures"`
	}{Machine: r.Machine, Targets: []jsonRow{}, Figures: r.Figures}
	for _, row := range r.Rows {
		j := jsonRow{ID: row.ID, Work: row.Work, Yardstick: row.Yardstick, Against: row.Against, Bar: row.barText(),
			Note: row.Note, Unknown: row.Unknown}
		if row.Unknown == "" {
			j.Measured = &row.Measured
		}
		if ratio, ok := row.Ratio(); ok {
			j.Ratio = &ratio
		}
		if met, known := row.Met(); known {
			j.Met = &met
		}
		out.Targets = append(out.Targets, j)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}
