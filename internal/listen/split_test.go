package listen

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// patience is how long a test waits for what must happen; it passes long before on any machine.
const patience = 2 * time.Minute

// start runs a Splitter on a free port until the test ends, and checks that Run then ends without an error.
func start(t *testing.T, options Options) *Splitter {
	t.Helper()
	s, _ := startStoppable(t, options)
	return s
}

func startStoppable(t *testing.T, options Options) (s *Splitter, stop func()) {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s = Split(listener, options)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not end")
		}
	}
	t.Cleanup(stop)
	return s, stop
}

func dial(t *testing.T, s *Splitter) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", s.GRPC().Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// accept takes a connection from one half, and fails if it is not there in time.
func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	taken := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			t.Errorf("Accept: %v", err)
		}
		taken <- conn
	}()
	select {
	case conn := <-taken:
		if conn == nil {
			t.FailNow()
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	case <-time.After(patience):
		t.Fatal("no connection arrived")
		return nil
	}
}

func wantClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) || n != 0 {
		t.Fatalf("read %d bytes, error %v from a connection that the server should have closed", n, err)
	}
}

func TestConnectionGoesWhereItsFirstBytesSay(t *testing.T) {
	const whole = preface + "\r\n\r\nSM\r\n\r\n"
	for name, test := range map[string]struct {
		says   string
		isGRPC bool
	}{
		"HTTP/2 preface":         {whole, true},
		"HTTP/1.1 GET":           {"GET / HTTP/1.1\r\n\r\n", false},
		"method beginning like":  {"PROPFIND / HTTP/1.1\r\n\r\n", false},
		"method PRI, other path": {"PRI / HTTP/1.1\r\n\r\n", false},
		"one byte":               {"x", false},
		"binary":                 {"\x16\x03\x01\x02\x00\x01\x00", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Options{})
			client := dial(t, s)
			if _, err := io.WriteString(client, test.says); err != nil {
				t.Fatal(err)
			}
			want := s.HTTP()
			if test.isGRPC {
				want = s.GRPC()
			}
			conn := accept(t, want)
			if _, bare := conn.(*net.TCPConn); !bare {
				t.Errorf("got a %T: grpc-go pools buffers for a bare *net.TCPConn only", conn)
			}
			got := make([]byte, len(test.says))
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != test.says {
				t.Errorf("the server reads %q, %v, want %q", got, err, test.says)
			}
		})
	}
}

func TestPrefaceMayComeByteByByte(t *testing.T) {
	s := start(t, Options{})
	client := dial(t, s)
	if err := client.SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	for _, b := range []byte(preface) {
		if _, err := client.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	accept(t, s.GRPC())
}

func TestSilentClientIsClosed(t *testing.T) {
	s := start(t, Options{PeekTime: 20 * time.Millisecond})
	silent, partial := dial(t, s), dial(t, s)
	_, _ = io.WriteString(partial, preface[:5]) // it may be closed already
	wantClosed(t, silent)
	wantClosed(t, partial)
}

func TestSilentClientHoldsUpNobody(t *testing.T) {
	s := start(t, Options{PeekTime: time.Hour})
	_, partial := dial(t, s), dial(t, s)
	if _, err := io.WriteString(partial, preface[:5]); err != nil {
		t.Fatal(err)
	}
	honest := dial(t, s)
	if _, err := io.WriteString(honest, preface); err != nil {
		t.Fatal(err)
	}
	accept(t, s.GRPC())
}

func TestOldestSilentClientGivesWayAtTheCap(t *testing.T) {
	s := start(t, Options{PeekTime: time.Hour, PeekMax: 2})
	first := dial(t, s)
	dial(t, s)
	dial(t, s)
	wantClosed(t, first)
	honest := dial(t, s)
	if _, err := io.WriteString(honest, "GET / HTTP/1.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	accept(t, s.HTTP())
}

func TestClientThatLeavesIsForgotten(t *testing.T) {
	s := start(t, Options{PeekTime: time.Hour})
	dial(t, s).Close()
	deadline := time.Now().Add(patience)
	for {
		s.mutex.Lock()
		looking := len(s.looking)
		s.mutex.Unlock()
		if accepted := acceptedAny(s); looking == 0 && accepted {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d looks still go on", looking)
		}
		runtime.Gosched()
	}
}

// acceptedAny reports whether the splitter still takes connections, by sending one through it.
func acceptedAny(s *Splitter) bool {
	conn, err := net.Dial("tcp", s.HTTP().Addr().String())
	if err != nil {
		return false
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "x")
	if err != nil {
		return false
	}
	taken, err := s.HTTP().Accept()
	if err != nil {
		return false
	}
	taken.Close()
	return true
}

func TestStopClosesWhatWaitsAndKeepsWhatWasHandedOver(t *testing.T) {
	before := runtime.NumGoroutine()
	s, stop := startStoppable(t, Options{PeekTime: time.Hour})
	handed := dial(t, s)
	if _, err := io.WriteString(handed, preface); err != nil {
		t.Fatal(err)
	}
	served := accept(t, s.GRPC())
	silent := dial(t, s)
	stop()
	wantClosed(t, silent)
	if _, err := s.GRPC().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after the end answers %v, want net.ErrClosed", err)
	}
	if _, err := net.Dial("tcp", s.HTTP().Addr().String()); err == nil {
		t.Error("the port is still open")
	}
	if _, err := served.Write([]byte("x")); err != nil {
		t.Errorf("a connection that was handed over is closed: %v", err)
	}
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}

func TestClosedHalfRefusesAndTheOtherGoesOn(t *testing.T) {
	s := start(t, Options{})
	waiting := dial(t, s)
	if _, err := io.WriteString(waiting, preface); err != nil {
		t.Fatal(err)
	}
	for len(s.grpc.backlog) == 0 {
		runtime.Gosched()
	}
	if err := s.GRPC().Close(); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, waiting)
	late := dial(t, s)
	if _, err := io.WriteString(late, preface); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, late)
	plain := dial(t, s)
	if _, err := io.WriteString(plain, "GET / HTTP/1.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	accept(t, s.HTTP())
	if err := s.GRPC().Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestFullBacklogClosesTheNewcomer(t *testing.T) {
	h := newHalf(&net.TCPAddr{})
	for range backlogMax {
		h.offer(nopConn{})
	}
	client, server := net.Pipe()
	defer client.Close()
	h.offer(server)
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read from a connection beyond the backlog: %v, want EOF", err)
	}
	if err := h.Close(); err != nil || len(h.backlog) != 0 {
		t.Errorf("after Close: error %v, %d connections left", err, len(h.backlog))
	}
}

// nopConn is a connection that can only be closed.
type nopConn struct{ net.Conn }

func (nopConn) Close() error { return nil }

func TestRunReportsAFailedListener(t *testing.T) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := Split(listener, Options{}).Run(context.Background()); !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "accept on 127.0.0.1:") {
		t.Errorf("Run on a closed listener answers %v", err)
	}
}

func TestRealServersShareThePort(t *testing.T) {
	s := start(t, Options{})
	grpcServer := grpc.NewServer()
	httpServer := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "Ok") })}
	go grpcServer.Serve(s.GRPC())
	go httpServer.Serve(s.HTTP())
	t.Cleanup(grpcServer.Stop)
	t.Cleanup(func() { httpServer.Close() })

	client, err := grpc.NewClient(s.GRPC().Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = client.Invoke(ctx, "/no.Such/Method", &emptypb.Empty{}, &emptypb.Empty{}, grpc.WaitForReady(true))
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("gRPC: %v, want UNIMPLEMENTED from the server", err)
	}

	conn := dial(t, s)
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "Ok" || response.StatusCode != http.StatusOK {
		t.Errorf("HTTP: %d %q %v, want 200 Ok", response.StatusCode, body, err)
	}
}
