package rest

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// serverTimeout is the header in which a client says how many seconds the server may take. gcloud sends it with every call and expects a
// pull of nothing to be answered by then.
const serverTimeout = "X-Server-Timeout"

// patience is a context that ends with the client's. A header that is no number of seconds says nothing.
func patience(r *http.Request) (context.Context, context.CancelFunc) {
	seconds, err := strconv.ParseFloat(r.Header.Get(serverTimeout), 64)
	if err != nil || !(seconds > 0) || seconds > time.Hour.Seconds() {
		return context.WithCancel(r.Context())
	}
	return context.WithTimeout(r.Context(), time.Duration(seconds*float64(time.Second)))
}
