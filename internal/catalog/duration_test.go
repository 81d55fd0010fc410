package catalog

import (
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"
)

func TestDurationsAreWrittenAsTheServiceWritesThem(t *testing.T) {
	for _, test := range []struct {
		seconds     int64
		nanos       int32
		text        string
		secondsText string
	}{
		{0, 0, "0s", "0s"},
		{1, 0, "1s", "1s"},
		{60, 0, "1m", "60s"},
		{599, 0, "9m59s", "599s"},
		{600, 0, "10m", "600s"},
		{601, 0, "10m1s", "601s"},
		{3600, 0, "1h", "3600s"},
		{3605, 0, "1h5s", "3605s"},
		{86400, 0, "24h", "86400s"},
		{31 * 86400, 0, "744h", "2678400s"},
		{31 * 86400, 1, "744h0.000000001s", "2678400.000000001s"},
		{600, 500_000_000, "10m0.5s", "600.5s"},
		{0, 500_000_000, "500ms", "0.5s"},
		{-60, 0, "-1m", "-60s"},
		{-1, -250_000_000, "-1.25s", "-1.25s"},
		{0, -1, "-1ns", "-0.000000001s"},
		{315_576_000_000, 999_999_999, "87660000h0.999999999s", "315576000000.999999999s"}, // the longest there is
	} {
		d := &durationpb.Duration{Seconds: test.seconds, Nanos: test.nanos}
		if got := formatDuration(d); got != test.text {
			t.Errorf("formatDuration(%v) = %s, want %s", d, got, test.text)
		}
		if got := formatSeconds(d); got != test.secondsText {
			t.Errorf("formatSeconds(%v) = %s, want %s", d, got, test.secondsText)
		}
	}
}
