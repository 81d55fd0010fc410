package rest

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// origins are the web origins whose pages may call. A browser sends some requests to any server that a page names, and only hides the
// answer; therefore pages of other origins are refused, not just left without the headers that let them read.
type origins struct {
	all    bool
	listed []string
}

func allowed(list []string) origins { return origins{all: slices.Contains(list, "*"), listed: list} }

func (o *origins) allows(origin string) bool { return o.all || slices.Contains(o.listed, origin) }

// preflightTime is how long a browser may remember what it was allowed.
const preflightTime = time.Hour

// answer handles what browsers ask before calls and what they may not do. It is false for requests that are to be served.
func (o *origins) answer(w http.ResponseWriter, r *http.Request) (answered bool) {
	origin := r.Header.Get("Origin")
	header := w.Header()
	if origin != "" && o.allows(origin) {
		header.Set("Access-Control-Allow-Origin", origin)
		header.Set("Access-Control-Expose-Headers", "Content-Encoding, Date, Server")
	}
	if r.Method == http.MethodOptions {
		header.Set("Allow", methods)
		if origin != "" && o.allows(origin) {
			header.Add("Vary", "Origin")
			header.Set("Access-Control-Allow-Methods", methods)
			if wanted := r.Header.Get("Access-Control-Request-Headers"); wanted != "" {
				header.Set("Access-Control-Allow-Headers", wanted)
			}
			header.Set("Access-Control-Max-Age", strconv.Itoa(int(preflightTime.Seconds())))
		}
		w.WriteHeader(http.StatusNoContent)
		return true
	}
	if origin != "" && !o.allows(origin) && crossSite(r) {
		refusal(http.StatusForbidden, "Pages of the origin "+origin+" may not call this server; the setting rest.origins allows origins.", "PERMISSION_DENIED", nil).send(w, r, true)
		return true
	}
	return false
}

// methods are those that any path has.
const methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// crossSite reports whether a browser says that a page of another origin makes the request.
func crossSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
		origin := r.Header.Get("Origin")
		return origin != "http://"+r.Host && origin != "https://"+r.Host
	default:
		return true
	}
}
