package rest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/posthaste-io/posthaste/internal/budget"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// testPatience is how long a test waits for what must happen.
const testPatience = 2 * time.Minute

// longEnough tries with more and more patience for a body, until a machine that is busy is quick enough for it.
func longEnough(t *testing.T, try func(patience time.Duration) error) {
	t.Helper()
	for patience := 20 * time.Millisecond; ; patience *= 4 {
		err := try(patience)
		if err == nil {
			return
		}
		if patience > 10*time.Second {
			t.Fatal(err)
		}
	}
}

// double stands for the services: it keeps the last request and answers what a test wants.
type double struct {
	pubsubpb.UnimplementedPublisherServer
	pubsubpb.UnimplementedSubscriberServer
	got    proto.Message
	answer func(context.Context) error
}

func (d *double) said(ctx context.Context, in proto.Message) error {
	d.got = in
	if d.answer == nil {
		return nil
	}
	return d.answer(ctx)
}

func (d *double) GetTopic(ctx context.Context, in *pubsubpb.GetTopicRequest) (*pubsubpb.Topic, error) {
	return &pubsubpb.Topic{Name: in.Topic, Labels: map[string]string{"long": strings.Repeat("x", 2*compressBytesMin)}}, d.said(ctx, in)
}

func (d *double) CreateTopic(ctx context.Context, in *pubsubpb.Topic) (*pubsubpb.Topic, error) {
	return in, d.said(ctx, in)
}

func (d *double) UpdateTopic(ctx context.Context, in *pubsubpb.UpdateTopicRequest) (*pubsubpb.Topic, error) {
	return in.Topic, d.said(ctx, in)
}

func (d *double) ListTopics(ctx context.Context, in *pubsubpb.ListTopicsRequest) (*pubsubpb.ListTopicsResponse, error) {
	return &pubsubpb.ListTopicsResponse{}, d.said(ctx, in)
}

func (d *double) Pull(ctx context.Context, in *pubsubpb.PullRequest) (*pubsubpb.PullResponse, error) {
	return &pubsubpb.PullResponse{}, d.said(ctx, in)
}

func (d *double) DeleteTopic(ctx context.Context, in *pubsubpb.DeleteTopicRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, d.said(ctx, in)
}

func (d *double) DetachSubscription(ctx context.Context, in *pubsubpb.DetachSubscriptionRequest) (*pubsubpb.DetachSubscriptionResponse, error) {
	return &pubsubpb.DetachSubscriptionResponse{}, d.said(ctx, in)
}

// running is a front behind a real HTTP server.
type running struct {
	*double
	front  *Front
	server *httptest.Server
}

func run(t *testing.T, options Options, prepare ...func(*Front)) *running {
	t.Helper()
	r := &running{double: new(double), front: New(options)}
	pubsubpb.RegisterPublisherServer(r.front, r.double)
	pubsubpb.RegisterSubscriberServer(r.front, r.double)
	for _, p := range prepare {
		p(r.front)
	}
	r.front.Open()
	r.server = httptest.NewServer(r.front)
	t.Cleanup(r.server.Close)
	return r
}

func (r *running) call(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: testPatience}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

func TestAPostMayNameAnotherMethod(t *testing.T) {
	r := run(t, Options{})
	for named, want := range map[string]proto.Message{
		"PATCH":  &pubsubpb.UpdateTopicRequest{Topic: &pubsubpb.Topic{Name: "projects/p/topics/ttt"}},
		"delete": &pubsubpb.DeleteTopicRequest{Topic: "projects/p/topics/ttt"},
		"GET":    &pubsubpb.GetTopicRequest{Topic: "projects/p/topics/ttt"},
	} {
		if response, text := r.call(t, "POST", "/v1/projects/p/topics/ttt", "", "X-HTTP-Method-Override", named); response.StatusCode != 200 || !proto.Equal(r.got, want) {
			t.Errorf("%s: %s %s, called with %v", named, response.Status, text, r.got)
		}
	}
	for method, named := range map[string]string{"POST": "BREW", "GET": "DELETE"} {
		r.got = nil
		response, text := r.call(t, method, "/v1/projects/p/topics/ttt", "", "X-HTTP-Method-Override", named)
		if _, deleted := r.got.(*pubsubpb.DeleteTopicRequest); deleted || method == "POST" && response.StatusCode != 405 {
			t.Errorf("%s that names %s: %s %s", method, named, response.Status, text)
		}
	}
}

func TestPathQueryAndBodyBecomeOneRequest(t *testing.T) {
	r := run(t, Options{})
	for _, test := range []struct {
		call, body string
		want       proto.Message
	}{
		{"GET /v1/projects/p/topics/ttt", "", &pubsubpb.GetTopicRequest{Topic: "projects/p/topics/ttt"}},
		{"GET /v1/projects/p/topics/a%25b%2Bc", "", &pubsubpb.GetTopicRequest{Topic: "projects/p/topics/a%b+c"}},
		{"GET /v1/projects/p/topics?pageSize=7&page_token=x", "", &pubsubpb.ListTopicsRequest{Project: "projects/p", PageSize: 7, PageToken: "x"}},
		{"PUT /v1/projects/p/topics/ttt", "", &pubsubpb.Topic{Name: "projects/p/topics/ttt"}},
		{"PUT /v1/projects/p/topics/ttt", `{"name":"other","kmsKeyName":"k"}`, &pubsubpb.Topic{Name: "projects/p/topics/ttt", KmsKeyName: "k"}},
		{"PUT /v1/projects/p/topics/ttt?kmsKeyName=q&messageStoragePolicy.allowedPersistenceRegions=a&message_storage_policy.allowed_persistence_regions=b", `{"kmsKeyName":"k"}`,
			&pubsubpb.Topic{Name: "projects/p/topics/ttt", KmsKeyName: "q", MessageStoragePolicy: &pubsubpb.MessageStoragePolicy{AllowedPersistenceRegions: []string{"a", "b"}}}},
		{"PUT /v1/projects/p/topics/ttt?state=INGESTION_RESOURCE_ERROR&satisfiesPzs=true", "", &pubsubpb.Topic{Name: "projects/p/topics/ttt", State: pubsubpb.Topic_INGESTION_RESOURCE_ERROR, SatisfiesPzs: true}},
		{"PUT /v1/projects/p/topics/ttt?state=1", "", &pubsubpb.Topic{Name: "projects/p/topics/ttt", State: pubsubpb.Topic_ACTIVE}},
		{"POST /v1/projects/p/subscriptions/sss:detach", "{}", &pubsubpb.DetachSubscriptionRequest{Subscription: "projects/p/subscriptions/sss"}},
		{"POST /v1/projects/p/subscriptions/sss:pull", `{"subscription":"x","maxMessages":3}`, &pubsubpb.PullRequest{Subscription: "projects/p/subscriptions/sss", MaxMessages: 3}},
		{"DELETE /v1/projects/p/topics/ttt?alt=json&key=k&fields=*&$.xgafv=1&%24alt=json", "", &pubsubpb.DeleteTopicRequest{Topic: "projects/p/topics/ttt"}},
		{"HEAD /v1/projects/p/topics/ttt", "", &pubsubpb.GetTopicRequest{Topic: "projects/p/topics/ttt"}},
	} {
		method, path, _ := strings.Cut(test.call, " ")
		r.got = nil
		if response, text := r.call(t, method, path, test.body); response.StatusCode != 200 || !proto.Equal(r.got, test.want) {
			t.Errorf("%s %s: %d %s\n got %v\nwant %v", test.call, test.body, response.StatusCode, text, r.got, test.want)
		}
	}
}

func TestMasksInQueryAndBodyAreJoined(t *testing.T) {
	r := run(t, Options{})
	r.call(t, "PATCH", "/v1/projects/p/topics/ttt?updateMask=labels%2CkmsKeyName", `{"topic":{"labels":{"a":"b"}}}`)
	in, is := r.got.(*pubsubpb.UpdateTopicRequest)
	if !is || in.Topic.Name != "projects/p/topics/ttt" || in.Topic.Labels["a"] != "b" || fmt.Sprint(in.UpdateMask.GetPaths()) != "[labels kms_key_name]" {
		t.Errorf("got %v", r.got)
	}
}

func TestErrorsHaveTheirCodesAndDetails(t *testing.T) {
	r := run(t, Options{})
	for code, want := range map[codes.Code]struct {
		http int
		name string
	}{
		codes.InvalidArgument: {400, "INVALID_ARGUMENT"}, codes.FailedPrecondition: {400, "FAILED_PRECONDITION"}, codes.OutOfRange: {400, "OUT_OF_RANGE"},
		codes.Unauthenticated: {401, "UNAUTHENTICATED"}, codes.PermissionDenied: {403, "PERMISSION_DENIED"}, codes.NotFound: {404, "NOT_FOUND"},
		codes.AlreadyExists: {409, "ALREADY_EXISTS"}, codes.Aborted: {409, "ABORTED"}, codes.ResourceExhausted: {429, "RESOURCE_EXHAUSTED"},
		codes.Canceled: {499, "CANCELLED"}, codes.Internal: {500, "INTERNAL"}, codes.Unknown: {500, "UNKNOWN"}, codes.DataLoss: {500, "DATA_LOSS"},
		codes.Unimplemented: {501, "UNIMPLEMENTED"}, codes.Unavailable: {503, "UNAVAILABLE"}, codes.DeadlineExceeded: {504, "DEADLINE_EXCEEDED"},
	} {
		r.answer = func(context.Context) error {
			s, err := status.New(code, "<why>").WithDetails(&errdetails.ErrorInfo{Reason: "R", Metadata: map[string]string{"id": "PERMANENT_FAILURE"}})
			if err != nil {
				return err
			}
			return s.Err()
		}
		response, text := r.call(t, "GET", "/v1/projects/p/topics/ttt?prettyPrint=false", "")
		wanted := fmt.Sprintf(`{"error":{"code":%d,"message":"<why>","status":%q,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R","metadata":{"id":"PERMANENT_FAILURE"}}]}}`, want.http, want.name)
		if response.StatusCode != want.http || strings.TrimSpace(text) != wanted {
			t.Errorf("%v: %d %s\nwant %s", code, response.StatusCode, text, wanted)
		}
	}
}

func TestBodiesHaveALimit(t *testing.T) {
	r := run(t, Options{})
	fits := `{"kmsKeyName":"` + strings.Repeat("k", 11<<20) + `"}`
	if response, _ := r.call(t, "PUT", "/v1/projects/p/topics/ttt", fits); response.StatusCode != 200 {
		t.Errorf("11 MiB: %d", response.StatusCode)
	}
	for name, headers := range map[string][]string{"announced": nil, "chunked": {"Transfer-Encoding", "chunked"}} {
		request, err := http.NewRequest("PUT", r.server.URL+"/v1/projects/p/topics/ttt", io.LimitReader(zeros{}, limit.RESTBodyBytesMax+1))
		if err != nil {
			t.Fatal(err)
		}
		if headers == nil {
			request.ContentLength = limit.RESTBodyBytesMax + 1
		}
		recorder := httptest.NewRecorder()
		r.front.ServeHTTP(recorder, request)
		if want := "Request payload size exceeds the limit: 20971520 bytes."; recorder.Code != 400 || !strings.Contains(recorder.Body.String(), want) {
			t.Errorf("%s: %d %s, want %s", name, recorder.Code, recorder.Body, want)
		}
	}
	if left := r.front.options.Memory.Taken(); left != 0 {
		t.Errorf("%d bytes are still counted", left)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestBodiesTogetherHaveALimit(t *testing.T) {
	memory := budget.New(budget.Options{Bytes: 1 << 20})
	r := run(t, Options{Memory: memory})
	var others budget.Part
	if err := memory.Take(t.Context(), &others, 1<<20-1000); err != nil {
		t.Fatal(err)
	}
	if response, text := r.call(t, "PUT", "/v1/projects/p/topics/ttt", strings.Repeat(" ", 10_000)); response.StatusCode != 429 || !strings.Contains(text, "RESOURCE_EXHAUSTED") {
		t.Errorf("without memory: %d %s", response.StatusCode, text)
	}
	if response, text := r.call(t, "PUT", "/v1/projects/p/topics/ttt", "{}"); response.StatusCode != 200 {
		t.Errorf("a small one: %d %s", response.StatusCode, text)
	}
	if used := memory.Taken(); used != 1<<20-1000 {
		t.Errorf("%d bytes are counted", used)
	}
}

func compressed(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text) // memory takes everything
	_ = w.Close()
	return b.String()
}

func TestCompression(t *testing.T) {
	r := run(t, Options{})
	path := "/v1/projects/p/topics/ttt"
	if response, text := r.call(t, "PUT", path, compressed(`{"kmsKeyName":"k"}`), "Content-Encoding", "gzip"); response.StatusCode != 200 || r.got.(*pubsubpb.Topic).KmsKeyName != "k" {
		t.Errorf("compressed request: %d %s", response.StatusCode, text)
	}
	bomb := compressed(strings.Repeat(" ", limit.RESTBodyBytesMax+1))
	for body, encoding := range map[string]string{bomb: "gzip", "no gzip": "gzip", "{}": "br"} {
		if response, _ := r.call(t, "PUT", path, body, "Content-Encoding", encoding); response.StatusCode != 400 {
			t.Errorf("%d bytes of %s: %d", len(body), encoding, response.StatusCode)
		}
	}
	for accept, want := range map[string]bool{"gzip": true, "br, GZIP;q=0.5": true, "gzip;q=0": false, "": false, "identity": false} {
		response, text := r.call(t, "GET", path, "", "Accept-Encoding", accept)
		got := response.Header.Get("Content-Encoding") == "gzip"
		if got {
			plain, err := gzip.NewReader(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(plain)
			if err != nil {
				t.Fatal(err)
			}
			text = string(content)
		}
		if got != want || !json.Valid([]byte(text)) {
			t.Errorf("Accept-Encoding %q: compressed %v; %.40q", accept, got, text)
		}
	}
	if response, _ := r.call(t, "PUT", path, "{}", "Accept-Encoding", "gzip"); response.Header.Get("Content-Encoding") != "" {
		t.Error("a short answer is compressed")
	}
}

func TestSlowBodyIsGivenUp(t *testing.T) {
	r := run(t, Options{}, func(f *Front) { f.patience = 20 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT /v1/projects/p/topics/ttt HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	if err := conn.SetReadDeadline(time.Now().Add(testPatience)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 504 ") {
		t.Errorf("%s, %v", answer, err)
	}
}

func TestBodyThatKeepsComingHasTime(t *testing.T) {
	longEnough(t, func(patience time.Duration) error {
		r := run(t, Options{}, func(f *Front) { f.patience = patience })
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.server.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(testPatience)); err != nil {
			t.Fatal(err)
		}
		body := "{}" + strings.Repeat(" ", 120*limit.RESTBodyBytesPerSecondMin)
		half := len(body) / 2 // earns a minute
		if _, err := fmt.Fprintf(conn, "PUT /v1/projects/p/topics/ttt HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:half]); err != nil {
			return err
		}
		time.Sleep(5 * patience) // longer than the time for the first bytes
		if _, err := io.WriteString(conn, body[half:]); err != nil {
			return err
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
			return fmt.Errorf("%s, %w", answer, err)
		}
		return nil
	})
}

func TestCallOutlivesTheTimeForItsBody(t *testing.T) {
	longEnough(t, func(patience time.Duration) error {
		r := run(t, Options{}, func(f *Front) { f.patience = patience })
		r.answer = func(ctx context.Context) error {
			select {
			case <-time.After(5 * patience):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if response, text := r.call(t, "POST", "/v1/projects/p/subscriptions/sss:pull", `{"maxMessages":1}`); response.StatusCode != 200 {
			return fmt.Errorf("%d %s", response.StatusCode, text)
		}
		return nil
	})
}

func TestCallEndsWhenItsClientLeaves(t *testing.T) {
	r := run(t, Options{})
	waiting, ended := make(chan struct{}), make(chan struct{})
	r.answer = func(ctx context.Context) error {
		close(waiting)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, "POST", r.server.URL+"/v1/projects/p/subscriptions/sss:pull", strings.NewReader(`{"maxMessages":1}`))
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
		}
	}()
	<-waiting
	leave()
	<-gone
	select {
	case <-ended:
	case <-time.After(testPatience):
		t.Error("the call goes on without its client")
	}
}

func TestDrainWaitsThenCutsOff(t *testing.T) {
	for _, cut := range []bool{false, true} {
		r := run(t, Options{})
		waiting, proceed := make(chan struct{}), make(chan struct{})
		r.answer = func(ctx context.Context) error {
			close(waiting)
			select {
			case <-proceed:
				return nil
			case <-ctx.Done():
				return status.FromContextError(ctx.Err()).Err()
			}
		}
		codes := make(chan int)
		go func() {
			response, _ := r.call(t, "GET", "/v1/projects/p/topics/ttt", "")
			codes <- response.StatusCode
		}()
		<-waiting
		grace, expire := context.WithCancel(context.Background())
		drained := make(chan struct{})
		go func() {
			r.front.Drain(grace)
			close(drained)
		}()
		for { // until the front has seen that it drains
			if response, _ := r.call(t, "GET", "/v1/nothing", ""); response.StatusCode == 503 {
				break
			}
		}
		want := 200
		if cut {
			expire()
			want = 499
		} else {
			close(proceed)
		}
		if got := <-codes; got != want {
			t.Errorf("cut off %v: %d, want %d", cut, got, want)
		}
		<-drained
		expire()
	}
}

func TestNothingIsServedBeforeOpen(t *testing.T) {
	f := New(Options{})
	f.Drain(t.Context())
	recorder := httptest.NewRecorder()
	f.ServeHTTP(recorder, httptest.NewRequest("GET", "/v1/projects/p/topics", nil))
	if recorder.Code != 503 || recorder.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", recorder.Code, recorder.Header())
	}
}

func TestPagesOfOtherOrigins(t *testing.T) {
	const origin = "https://console.example.com"
	for name, test := range map[string]struct {
		allowed []string
		headers []string
		code    int
		allow   string
	}{
		"program":              {nil, nil, 200, ""},
		"none allowed":         {nil, []string{"Origin", origin}, 403, ""},
		"listed":               {[]string{origin}, []string{"Origin", origin}, 200, origin},
		"another listed":       {[]string{"https://other.example.com"}, []string{"Origin", origin}, 403, ""},
		"all":                  {[]string{"*"}, []string{"Origin", origin}, 200, origin},
		"the server's own":     {nil, []string{"Origin", origin, "Sec-Fetch-Site", "same-origin"}, 200, ""},
		"other, says browser":  {nil, []string{"Origin", "null", "Sec-Fetch-Site", "cross-site"}, 403, ""},
		"user's own address":   {nil, []string{"Origin", origin, "Sec-Fetch-Site", "none"}, 200, ""},
		"same host, no fetch":  {nil, []string{"Origin", "HOST"}, 200, ""},
		"nothing set, allowed": {[]string{""}, nil, 200, ""},
	} {
		r := run(t, Options{Origins: test.allowed})
		for i, h := range test.headers {
			test.headers[i] = strings.ReplaceAll(h, "HOST", r.server.URL)
		}
		response, _ := r.call(t, "GET", "/v1/projects/p/topics", "", test.headers...)
		if allow := response.Header.Get("Access-Control-Allow-Origin"); response.StatusCode != test.code || allow != test.allow {
			t.Errorf("%s: %d, allowed %q", name, response.StatusCode, allow)
		}
		preflight, _ := r.call(t, "OPTIONS", "/v1/projects/p/topics", "", append(test.headers, "Access-Control-Request-Headers", "content-type")...)
		h := preflight.Header
		if preflight.StatusCode != 204 || h.Get("Allow") == "" || h.Get("Access-Control-Allow-Origin") != test.allow ||
			(h.Get("Access-Control-Allow-Headers") == "content-type") != (test.allow != "") {
			t.Errorf("%s: OPTIONS %d %v", name, preflight.StatusCode, h)
		}
	}
}

func TestResetIsThereWhenAskedFor(t *testing.T) {
	plain := run(t, Options{})
	if response, _ := plain.call(t, "POST", "/reset", ""); response.StatusCode != 404 {
		t.Errorf("without: %d", response.StatusCode)
	}
	calls := 0
	failing := false
	dev := run(t, Options{}, func(f *Front) {
		f.ServeReset(func(context.Context) error {
			calls++
			if failing {
				return status.Error(codes.Unavailable, "no")
			}
			return nil
		})
	})
	if response, text := dev.call(t, "POST", "/reset", ""); response.StatusCode != 200 || calls != 1 {
		t.Errorf("with: %d %s, %d calls", response.StatusCode, text, calls)
	}
	if response, _ := dev.call(t, "GET", "/reset", ""); response.StatusCode != 404 || calls != 1 {
		t.Errorf("GET: %d, %d calls", response.StatusCode, calls)
	}
	failing = true
	if response, _ := dev.call(t, "POST", "/reset", ""); response.StatusCode != 503 {
		t.Errorf("failing: %d", response.StatusCode)
	}
}

// Hot methods read and write bytes; their handlers are called all the same.
func TestRawHandlersAreServed(t *testing.T) {
	var got []byte
	f := New(Options{})
	f.RegisterService(&grpc.ServiceDesc{ServiceName: "google.pubsub.v1.Publisher", Methods: []grpc.MethodDesc{{
		MethodName: "Publish", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var in wire.Raw
			if err := decode(&in); err != nil {
				return nil, err
			}
			got = bytes.Clone(in.Data)
			in.Free()
			out := wire.NewRaw(10)
			out.Data = append(out.Data, 0x0a, 1, '7')
			return out, nil
		},
	}}}, nil)
	f.Open()
	recorder := httptest.NewRecorder()
	f.ServeHTTP(recorder, httptest.NewRequest("POST", "/v1/projects/p/topics/ttt:publish?prettyPrint=false", strings.NewReader(`{"messages":[{"data":"eA=="}]}`)))
	if recorder.Code != 200 || recorder.Body.String() != `{"messageIds":["7"]}`+"\n" {
		t.Errorf("%d %s", recorder.Code, recorder.Body)
	}
	in := new(pubsubpb.PublishRequest)
	if err := proto.Unmarshal(got, in); err != nil || in.Topic != "projects/p/topics/ttt" || string(in.Messages[0].Data) != "x" {
		t.Errorf("%v, %v", in, err)
	}
	var scan wire.Publish
	if err := scan.Scan(got); err != nil || len(scan.Body) == 0 || &scan.Body[0] != &got[0] {
		t.Errorf("the request is not in the form that is stored as it is: %v", err)
	}
}

func TestServicesWithoutADefinitionAreLeftOut(t *testing.T) {
	f := New(Options{})
	f.RegisterService(&grpc.ServiceDesc{ServiceName: "no.Such", Methods: []grpc.MethodDesc{{MethodName: "M"}}}, nil)
	if f.router.root.literal != nil {
		t.Error("something is bound")
	}
}
