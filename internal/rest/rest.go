// Package rest serves the HTTP/JSON form of gRPC services. It knows none of their RPCs: paths, verbs and bodies come from the
// google.api.http rules in the services' definitions, names and types of fields from the messages' descriptors, and every call runs the
// handler that the gRPC server runs. What is registered there and here is served by both, alike.
//
//	POST /v1/projects/p/topics/t:publish ─▶ router ─▶ binding ─▶ decode: JSON to protobuf bytes ─▶ gRPC handler ─▶ protojson
//
// A request becomes the encoding of its message directly, without the message itself: body first, then query parameters, then what the
// path says. The encoding's own rules merge them.
//
// Three rules bound what a client can cost:
//
//  1. Memory is taken as bytes arrive, up to a size for each body and a sum for all requests, those over gRPC included.
//  2. Reading a body and writing an answer have their times; between them a call may wait as long as its RPC does, or until the client
//     leaves.
//  3. A call runs on its connection's goroutine, which the HTTP server owns; no other is started.
package rest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/budget"
	"github.com/posthaste-io/posthaste/internal/limit"
)

// Options are a front's settings.
type Options struct {
	// Origins are the web origins (https://console.example.com) whose pages may call: none by default, all with "*".
	Origins []string
	Memory  *budget.Memory // that bodies take their memory from; default: one of their own
	Log     *slog.Logger   // told of calls that fail for no fault of the client's; default: nobody
}

// Front is an http.Handler that serves the unary RPCs of the services registered with it. Register first, then Open. It is safe for
// concurrent use once open.
type Front struct {
	options  Options
	origins  origins
	plans    plans
	router   router
	gate     gate
	patience time.Duration               // for a body
	reset    func(context.Context) error // nil: there is no such path
}

// New is a front without services. It answers UNAVAILABLE until Open.
func New(options Options) *Front {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Memory == nil {
		options.Memory = budget.Of(0)
	}
	return &Front{options: options, origins: allowed(options.Origins), patience: limit.RESTBodyTimeMax}
}

// RegisterService makes a service's unary RPCs available, as grpc.ServiceRegistrar's does. A definition whose rules contradict its
// messages is a bug.
func (f *Front) RegisterService(description *grpc.ServiceDesc, service any) {
	if err := f.router.register(&f.plans, description, service); err != nil {
		panic("bug: " + err.Error())
	}
}

// ServeReset adds POST /reset, which is no RPC: it calls wipe, as tests made for Google's emulator expect. It comes before Open.
func (f *Front) ServeReset(wipe func(context.Context) error) { f.reset = wipe }

// Open takes calls from now on.
func (f *Front) Open() { f.gate.unlock() }

// Drain refuses further calls with UNAVAILABLE and returns when the open ones have ended. When ctx ends before, their contexts do, too.
func (f *Front) Drain(ctx context.Context) { f.gate.drain(ctx) }

// ServeHTTP answers every path: what is no call of a registered service gets 404 or 405 in the form of an error.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer crash()
	query, err := url.ParseQuery(r.URL.RawQuery)
	pretty := prints(query)
	if f.origins.answer(w, r) {
		return
	}
	if err != nil {
		failure(refuse("", "The query of the URL is malformed: %v.", err)).send(w, r, pretty)
		return
	}
	life, ok := f.gate.enter()
	if !ok {
		w.Header().Set("Retry-After", "1")
		failure(status.Error(codes.Unavailable, "The server takes no calls now: it is starting or stopping.")).send(w, r, pretty)
		return
	}
	defer f.gate.leave()
	ctx, cancel := patience(r)
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	if f.reset != nil && r.URL.Path == "/reset" && r.Method == http.MethodPost {
		f.serveReset(ctx, w, r)
		return
	}
	f.serve(ctx, w, r, query).send(w, r, pretty)
}

func (f *Front) serveReset(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if err := f.reset(ctx); err != nil {
		f.failed(r, err).send(w, r, true)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "Resetting...\n") // a client that has gone needs no answer
}

// crash ends the process on a panic, as it does in a gRPC handler: the HTTP server would go on with whatever the panic left broken.
func crash() {
	if cause := recover(); cause != nil && cause != http.ErrAbortHandler {
		stack := debug.Stack()
		go func() { panic("bug: " + describe(cause) + "\n\n" + string(stack)) }()
		select {}
	}
}

// verbOf is the HTTP method that a request means. Clients and proxies that know few methods send POST and name the one they mean; HEAD is
// GET whose body the HTTP server leaves out.
func verbOf(r *http.Request) string {
	named := strings.ToUpper(r.Header.Get("X-HTTP-Method-Override"))
	switch {
	case r.Method == http.MethodHead:
		return http.MethodGet
	case r.Method == http.MethodPost && named != "":
		return named
	default:
		return r.Method
	}
}

// serve finds out which RPC a request calls, and calls it.
func (f *Front) serve(ctx context.Context, w http.ResponseWriter, r *http.Request, query url.Values) answer {
	verb := verbOf(r)
	segments, custom, ok := splitPath(r.URL.EscapedPath())
	var b *binding
	var others []string
	if ok {
		b, others = f.router.find(verb, segments, custom)
	}
	switch {
	case b != nil:
	case len(others) > 0:
		w.Header().Set("Allow", strings.Join(others, ", "))
		return refusal(http.StatusMethodNotAllowed, "The path "+r.URL.Path+" does not take "+verb+"; it takes "+strings.Join(others, ", ")+".", "UNIMPLEMENTED", nil)
	default:
		return refusal(http.StatusNotFound, "Not found: there is no method "+verb+" "+r.URL.Path+".", "NOT_FOUND", nil)
	}
	wanted, err := partial(b.method.answer.Descriptor(), query, r.Header)
	if err != nil {
		return failure(err)
	}
	in := body{memory: f.options.Memory, patience: f.patience}
	defer in.release()
	if err := in.read(ctx, w, r); err != nil {
		return failure(err)
	}
	request, err := b.build(make([]byte, 0, len(in.text)*3/4+requestBytesMore), in.text, query, segments)
	if err != nil {
		return failure(err)
	}
	response, err := b.method.call(ctx, request)
	if err != nil {
		return f.failed(r, err)
	}
	good, err := success(b.method, response, wanted)
	if err != nil {
		return f.failed(r, err)
	}
	return good
}

// requestBytesMore is room for what an encoded request has besides its body's content, which base64 makes longer than it is.
const requestBytesMore = 512

// failed logs an error that is the server's.
func (f *Front) failed(r *http.Request, err error) answer {
	a := failure(err)
	if a.code == http.StatusInternalServerError {
		f.options.Log.Error("a REST call failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	return a
}

// prints reports whether answers are to be indented, which is what Google's servers do unless told otherwise.
func prints(query url.Values) bool {
	for _, name := range []string{"prettyPrint", "$prettyPrint"} {
		switch query.Get(name) {
		case "false", "0":
			return false
		}
	}
	return true
}

// describe is a panic's cause as a text.
func describe(cause any) string { return strings.TrimPrefix(fmt.Sprint(cause), "bug: ") }
