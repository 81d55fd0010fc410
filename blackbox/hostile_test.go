package blackbox

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// attack is one kind of hostile connection.
type attack struct {
	name string
	// begin is what is sent at once, and drip what follows, a byte a second, over and over. A drip of nothing is silence.
	begin func(s *server) []byte
	drip  string
	// cut says that the request is not complete, so that the broker must end it.
	cut bool
}

// frames are the beginning of an HTTP/2 connection: preface, settings, and what follows.
func frames(s *server, follow func(*http2.Framer)) []byte {
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&b, nil)
	_ = framer.WriteSettings() // into memory
	follow(framer)
	return b.Bytes()
}

// publishHeaders opens stream 1 for a Publish whose body is to come.
func publishHeaders(s *server, framer *http2.Framer) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/google.pubsub.v1.Publisher/Publish"}, {":authority", s.addr},
		{"content-type", "application/grpc"}, {"te", "trailers"}} {
		_ = encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}) // into memory
	}
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
}

var attacks = []attack{
	{"silence", func(*server) []byte { return nil }, "", true},
	{"half a preface", func(*server) []byte { return []byte(http2.ClientPreface[:8]) }, "", true},
	{"preface and no settings", func(*server) []byte { return []byte(http2.ClientPreface) }, "", true},
	{"headers, a byte a second", func(*server) []byte { return []byte("GET / HTTP/1.1\r\nHost: x\r\n") }, "X: y\r\n", true},
	{"body, a byte a second", func(s *server) []byte {
		return fmt.Appendf(nil, "PUT /v1/%s HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{", s.topicName("slow"))
	}, " ", true},
	{"a gRPC request that stops", func(s *server) []byte {
		return frames(s, func(framer *http2.Framer) {
			publishHeaders(s, framer)
			_ = framer.WriteData(1, false, append([]byte{0, 0, 0x10, 0, 0}, make([]byte, 1000)...)) // announces a megabyte
		})
	}, "", true},
	{"answers that nobody reads", func(s *server) []byte {
		return []byte(strings.Repeat("GET /v1/projects/"+s.project+"/topics HTTP/1.1\r\nHost: x\r\n\r\n", 15))
	}, "", false},
}

// run plays an attack until the broker ends it or stop is closed, and tells how long the broker bore it.
func (a *attack) run(s *server, stop <-chan struct{}) (time.Duration, error) {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		return 0, err
	}
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil { // so that little is in flight where nothing is read
		return 0, err
	}
	began := time.Now()
	ended := make(chan struct{})
	go func() { // reads until the broker has ended the request or the connection
		defer close(ended)
		if a.cut {
			awaitEnd(conn)
		} else {
			<-stop
		}
	}()
	defer func() {
		_ = conn.Close()
		<-ended
	}()
	go func() { _, _ = conn.Write(a.begin(s)) }() // may block, as nothing is read; ends with the connection
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ended:
			return time.Since(began), nil
		case <-stop:
			return time.Since(began), errors.New("it was not ended")
		case <-tick.C:
			if a.drip != "" {
				_, _ = conn.Write([]byte{a.drip[i%len(a.drip)]}) // an error ends the reader, too
			}
		}
	}
}

// awaitEnd reads until the connection ends or, in HTTP/2, a stream does.
func awaitEnd(conn net.Conn) {
	var start [3]byte
	n, err := io.ReadFull(conn, start[:])
	if err != nil || string(start[:]) == "HTT" {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	framer := http2.NewFramer(io.Discard, io.MultiReader(bytes.NewReader(start[:n]), conn))
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		if headers, is := frame.(*http2.HeadersFrame); is && headers.StreamEnded() {
			return
		}
	}
}

// pace is how fast honest clients published, and what CPU time of the broker a message took.
type pace struct {
	perSecond float64
	cpu       time.Duration
}

// honest publishes from several goroutines for a while.
func (s *server) honest(t *testing.T, topic string, during time.Duration) pace {
	t.Helper()
	request := &pb.PublishRequest{Topic: topic}
	for range 100 {
		request.Messages = append(request.Messages, &pb.PubsubMessage{Data: make([]byte, 1024)})
	}
	var published atomic.Int64
	var workers sync.WaitGroup
	before, began := s.cpuTime(t), time.Now()
	for range 8 {
		workers.Go(func() {
			for time.Since(began) < during {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				_, err := s.Publish(ctx, request)
				cancel()
				if err != nil {
					t.Errorf("an honest client's publish: %v", err)
					return
				}
				published.Add(int64(len(request.Messages)))
			}
		})
	}
	workers.Wait()
	took := time.Since(began)
	return pace{float64(published.Load()) / took.Seconds(), (s.cpuTime(t) - before) / time.Duration(max(1, published.Load()))}
}

// undisturbed checks that honest clients publish at 80 % of their speed or more while something goes on, whose rate with and without it
// is measured in turn: other programs of a busy machine disturb single measurements. What goes on takes CPU time for itself, too, which is
// a part of the speed where there is little: the broker must have taken no more of it for a message then.
func (s *server) undisturbed(t *testing.T, topic string, disturb func() (end func())) {
	t.Helper()
	const share, shareBusy, tries = 0.8, 0.25, 10
	s.honest(t, topic, 300*time.Millisecond)
	var best float64
	for range tries {
		without := s.honest(t, topic, time.Second)
		end := disturb()
		with := s.honest(t, topic, time.Second)
		end()
		speed := with.perSecond / without.perSecond
		best = max(best, speed)
		t.Logf("%.0f messages a second without, %.0f with; %v and %v of CPU time each", without.perSecond, with.perSecond, without.cpu, with.cpu)
		if speed >= share || speed >= shareBusy && share*float64(with.cpu) <= float64(without.cpu) {
			return
		}
	}
	t.Errorf("honest clients have at best %.0f %% of their speed, want %.0f %%", best*100, share*100)
}

// calm waits until the broker has little to do, for a second at least; it gives up in time for what goes on to be still there.
func (s *server) calm(t *testing.T) {
	t.Helper()
	const look, little, lookMax = 500 * time.Millisecond, 50 * time.Millisecond, 20
	for looks := range lookMax {
		before := s.cpuTime(t)
		time.Sleep(look)
		if s.cpuTime(t)-before <= little && looks > 0 {
			return
		}
	}
}

// cpuTime is what the broker has used.
func (s *server) cpuTime(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.broker.Pid()))
	if err != nil {
		t.Skipf("this system does not tell a process' CPU time: %v", err)
	}
	const userField, tick = 14, 10 * time.Millisecond // user, then system; the name, field 2, may have spaces
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[userField-3], &user); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(fields[userField-2], &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * tick
}

// residentBytes is the broker's memory.
func (s *server) residentBytes(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.broker.Pid()))
	if err != nil {
		t.Skipf("this system does not tell a process' memory: %v", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// TestSlowAttackersAreEndedAndHurtNobody keeps hundreds of hostile connections of each kind open.
func TestSlowAttackersAreEndedAndHurtNobody(t *testing.T) {
	s := own(t)
	topic := s.topic(t, "honest")
	for i := range 50 { // what is listed for the attackers that read no answers
		s.topic(t, fmt.Sprintf("other-%d-%s", i, strings.Repeat("x", 200)))
	}
	const each, bearMax, memoryMax = 60, 30 * time.Second, 700 << 20
	start := func() (end func()) {
		stop := make(chan struct{})
		var running sync.WaitGroup
		for _, a := range attacks {
			for range each {
				running.Go(func() { _, _ = a.run(s, stop) })
			}
		}
		s.calm(t) // their first words cost what such calls cost; measured is what it costs that they stay
		return func() {
			close(stop)
			running.Wait()
		}
	}
	s.undisturbed(t, topic, start)

	// Each attack by itself, all at the same time: the broker ends it.
	stop := make(chan struct{})
	g, begun := s.gauge(t), time.Now()
	timer := time.AfterFunc(bearMax+patience, func() { close(stop) })
	defer timer.Stop()
	var running sync.WaitGroup
	for _, a := range attacks {
		if a.cut {
			running.Go(func() {
				if bore, err := a.run(s, stop); err != nil || bore > bearMax+g.slack(begun, time.Now()) {
					t.Errorf("%s: ended after %v, %v", a.name, bore, err)
				}
			})
		}
	}
	running.Wait()
	if bytes := s.residentBytes(t); bytes > memoryMax {
		t.Errorf("the broker has %d MiB of memory", bytes>>20)
	}
}

// raiseFiles lets this process, and those that it starts, have as many files as the system allows.
func raiseFiles(t *testing.T, want uint64) {
	t.Helper()
	var files syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files)
	if err == nil && files.Cur < want {
		files.Cur = want
		files.Max = max(files.Max, want)
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files)
	}
	if err != nil {
		t.Skipf("this system does not allow %d open files: %v", want, err)
	}
}

// TestTenThousandIdleConnectionsHurtNobody holds connections of both kinds that have done what is polite and then say nothing.
func TestTenThousandIdleConnectionsHurtNobody(t *testing.T) {
	const count, bytesEachMax = 10_000, 40 << 10
	raiseFiles(t, count+2000)
	s := own(t)
	topic := s.topic(t, "honest")
	s.honest(t, topic, time.Second)
	before := s.residentBytes(t)
	open := func() (end func()) {
		conns := make(chan net.Conn, count)
		var dialers sync.WaitGroup
		for dialer := range 16 {
			dialers.Go(func() {
				for i := dialer; i < count; i += 16 {
					conn, err := idle(s, i%2 == 0)
					if err != nil {
						t.Errorf("connection %d: %v", i, err)
						return
					}
					conns <- conn
				}
			})
		}
		dialers.Wait()
		close(conns)
		return func() {
			for conn := range conns {
				_ = conn.Close()
			}
		}
	}
	end := open()
	if grown := s.residentBytes(t) - before; grown > count*bytesEachMax {
		t.Errorf("%d idle connections take %d MiB", count, grown>>20)
	}
	end()
	s.undisturbed(t, topic, open)
}

// idle is a connection after its first words: HTTP/2's greetings, or one call over HTTP/1.1.
func idle(s *server, isGRPC bool) (net.Conn, error) {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	words := []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if isGRPC {
		words = frames(s, func(*http2.Framer) {})
	}
	_, err = conn.Write(words)
	if err == nil {
		err = conn.SetReadDeadline(time.Now().Add(patience))
	}
	if err == nil {
		_, err = conn.Read(make([]byte, 512))
	}
	return conn, err
}

// TestBombsAreRefused sends kilobytes that become hundreds of megabytes.
func TestBombsAreRefused(t *testing.T) {
	t.Parallel()
	s := own(t)
	topic := s.topic(t, "some")
	before := s.residentBytes(t)
	bomb := &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: make([]byte, 60<<20)}}}
	var body bytes.Buffer
	packer := gzip.NewWriter(&body)
	for range 200 {
		if _, err := packer.Write(bytes.Repeat([]byte(" "), 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := packer.Close(); err != nil {
		t.Fatal(err)
	}
	var senders sync.WaitGroup
	for range 16 {
		senders.Go(func() {
			_, err := s.Publish(limited(t), bomb, grpc.UseCompressor(grpcgzip.Name))
			wantStatus(t, err, codes.InvalidArgument, "Request payload size exceeds the limit: 10485760 bytes.")
			response, text := s.rest(t, "POST", "/v1/"+topic+":publish", body.String(), "Content-Encoding", "gzip")
			if response.StatusCode != http.StatusBadRequest || !strings.Contains(text, "Request payload size exceeds the limit: 20971520 bytes.") {
				t.Errorf("a bomb over HTTP: %d %s", response.StatusCode, text)
			}
		})
	}
	senders.Wait()
	if grown := s.residentBytes(t) - before; grown > 600<<20 {
		t.Errorf("bombs made the broker grow by %d MiB", grown>>20)
	}
}

// broken is a compressor whose output is none.
type broken struct{}

func (broken) Do(w io.Writer, _ []byte) error { _, err := w.Write([]byte("no gzip")); return err }
func (broken) Type() string                   { return grpcgzip.Name }

func TestWhatIsNotCompressedIsTheClientsMistake(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic := s.topic(t, "some")
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithCompressor(broken{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // a test is over: nobody cares how its connection ends
	_, err = pb.NewPublisherClient(conn).GetTopic(limited(t), &pb.GetTopicRequest{Topic: topic})
	wantStatus(t, err, codes.InvalidArgument, "")
	_, err = pb.NewPublisherClient(conn).Publish(limited(t), &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte("x")}}})
	wantStatus(t, err, codes.InvalidArgument, "")
	s.refused(t, "POST", "/v1/"+topic+":publish", "no gzip", 400, "INVALID_ARGUMENT", "")
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic := s.topic(t, "some")
	ctx := metadata.AppendToOutgoingContext(limited(t), "x-large", strings.Repeat("x", 100<<10))
	if _, err := s.GetTopic(ctx, &pb.GetTopicRequest{Topic: topic}); err == nil || status.Code(err) == codes.Unknown {
		t.Errorf("100 KiB of metadata are answered with %v", err)
	}
	if response, _ := s.rest(t, "GET", "/v1/"+topic, "", "X-Large", strings.Repeat("x", 100<<10)); response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("100 KiB of headers are answered with %d", response.StatusCode)
	}
	ctx = metadata.AppendToOutgoingContext(limited(t), "x-large", strings.Repeat("x", 30<<10))
	if _, err := s.GetTopic(ctx, &pb.GetTopicRequest{Topic: topic}); err != nil {
		t.Errorf("30 KiB of metadata are answered with %v", err)
	}
}
