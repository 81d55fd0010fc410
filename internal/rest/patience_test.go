package rest

import (
	"net/http/httptest"
	"testing"
	"time"
)

func TestAClientSaysHowLongItWaits(t *testing.T) {
	for _, c := range []struct {
		header string
		want   time.Duration // 0: no limit
	}{
		{"", 0}, {"20", 20 * time.Second}, {"0.5", time.Second / 2}, {"0", 0}, {"-1", 0}, {"NaN", 0}, {"soon", 0}, {"1e9", 0}, {"+Inf", 0},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set(serverTimeout, c.header)
		before := time.Now()
		ctx, cancel := patience(r)
		deadline, limited := ctx.Deadline()
		cancel()
		if limited != (c.want > 0) || limited && (deadline.Before(before.Add(c.want)) || deadline.After(time.Now().Add(c.want))) {
			t.Errorf("%q: deadline in %s, %v", c.header, deadline.Sub(before), limited)
		}
	}
}
