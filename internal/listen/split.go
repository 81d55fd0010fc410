// Package listen lets a gRPC server and an HTTP server share one port. It looks at the first bytes of a connection without taking
// them and hands the connection, untouched, to one of two listeners.
//
// Looking (MSG_PEEK) rather than reading and replaying is what keeps the gRPC side at full speed: grpc-go pools its read buffers only
// for a bare *net.TCPConn, so that a wrapped connection would pin 32 KiB each while idle, and a bare one costs nothing per byte.
//
// Three rules bound what strangers can cost:
//
//  1. The accept loop never waits for a client: every look has its own goroutine, which ends with the look.
//  2. A look takes at most Options.PeekTime, and at most Options.PeekMax go on at once: the oldest gives way, since an honest client
//     speaks as soon as it is connected.
//  3. Handing over never waits either: a connection that its server's backlog has no room for is closed.
package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Options bound what connections may cost before they have shown what they are. The zero value means the defaults.
type Options struct {
	PeekTime time.Duration // how long a client may take to show its first bytes; default 5 s
	PeekMax  int           // how many connections may be looked at at once; default 1024
	Log      *slog.Logger  // told of accept errors that pass, such as too many open files; default: nobody
}

// Defaults of Options, and how many connections may wait for each server to accept them.
const (
	peekTimeDefault = 5 * time.Second
	peekMaxDefault  = 1024
	backlogMax      = 1024
)

// Accept errors such as a lack of file descriptors pass by themselves: the loop waits between these bounds and tries again.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// Splitter divides the connections of one TCP listener between a gRPC and an HTTP server. It is safe for concurrent use.
type Splitter struct {
	listener *net.TCPListener
	options  Options
	grpc     *half
	http     *half
	looks    sync.WaitGroup

	mutex   sync.Mutex
	looking []*net.TCPConn // oldest first
	closed  bool
}

// Split prepares to divide a listener, which belongs to the Splitter from now on. Nothing is accepted before Run.
func Split(listener *net.TCPListener, options Options) *Splitter {
	if options.PeekTime <= 0 {
		options.PeekTime = peekTimeDefault
	}
	if options.PeekMax <= 0 {
		options.PeekMax = peekMaxDefault
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Splitter{listener: listener, options: options, grpc: newHalf(listener.Addr()), http: newHalf(listener.Addr())}
}

// GRPC gives the connections that begin with the HTTP/2 client preface. Closing it refuses further ones and leaves HTTP alone.
func (s *Splitter) GRPC() net.Listener { return s.grpc }

// HTTP gives all other connections. Closing it refuses further ones and leaves gRPC alone.
func (s *Splitter) HTTP() net.Listener { return s.http }

// Run accepts until ctx ends, which is no error, or the listener fails. When it returns, the port and both halves are closed and no
// goroutine is left; connections that were handed over stay open. It is called once.
func (s *Splitter) Run(ctx context.Context) error {
	unwatch := context.AfterFunc(ctx, func() { _ = s.listener.Close() })
	err := s.accept(ctx)
	unwatch()
	s.close()
	s.looks.Wait()
	return err
}

func (s *Splitter) accept(ctx context.Context) error {
	pause := acceptPauseMin
	for {
		conn, err := s.listener.AcceptTCP()
		switch {
		case err == nil:
			pause = acceptPauseMin
			s.begin(conn)
		case ctx.Err() != nil:
			return nil
		case passes(err):
			s.options.Log.Warn("accepting connections pauses", "error", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil
			}
			pause = min(2*pause, acceptPauseMax)
		default:
			return fmt.Errorf("accept on %s: %w", s.listener.Addr(), err)
		}
	}
}

// begin starts to look at a connection, after the oldest look has given way if there are too many.
func (s *Splitter) begin(conn *net.TCPConn) {
	s.mutex.Lock()
	if len(s.looking) >= s.options.PeekMax {
		_ = s.looking[0].Close() // its look ends with an error, and removes nothing that is not there
		s.looking = s.looking[1:]
	}
	s.looking = append(s.looking, conn)
	s.mutex.Unlock()
	s.looks.Go(func() { s.look(conn) })
}

// look finds out what a connection speaks and hands it over. An error needs no mention: the client went away or said nothing.
func (s *Splitter) look(conn *net.TCPConn) {
	isGRPC, err := peek(conn, time.Now().Add(s.options.PeekTime))
	if !s.end(conn) || err != nil {
		_ = conn.Close()
		return
	}
	if isGRPC {
		s.grpc.offer(conn)
	} else {
		s.http.offer(conn)
	}
}

// end takes a connection off the list and reports whether it was there, which it is not once it had to give way.
func (s *Splitter) end(conn *net.TCPConn) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for i, c := range s.looking {
		if c == conn {
			s.looking = append(s.looking[:i], s.looking[i+1:]...)
			return !s.closed
		}
	}
	return false
}

func (s *Splitter) close() {
	_ = s.listener.Close()
	_ = s.grpc.Close()
	_ = s.http.Close()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.closed = true
	for _, conn := range s.looking {
		_ = conn.Close()
	}
}

// passes reports whether an accept error is about one connection or the moment, not about the listener.
func passes(err error) bool {
	var timing interface{ Temporary() bool }
	return !errors.Is(err, net.ErrClosed) && errors.As(err, &timing) && timing.Temporary()
}
