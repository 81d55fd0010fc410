package load

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Endpoint is an HTTP server that push subscriptions deliver to. It answers each delivery at once, and fails one that is none.
type Endpoint struct {
	URL string

	server  *http.Server
	served  sync.WaitGroup
	bodies  sync.Pool
	tracker tracker
}

// OpenEndpoint serves on a free loopback port until Close.
func OpenEndpoint() (*Endpoint, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open an endpoint: %w", err)
	}
	e := &Endpoint{URL: "http://" + listener.Addr().String() + "/push", bodies: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
	e.server = &http.Server{Handler: e, ReadHeaderTimeout: time.Minute}
	e.served.Go(func() { _ = e.server.Serve(listener) }) //nolint:errcheck // Close ends it
	return e, nil
}

// Close ends the server and its connections.
func (e *Endpoint) Close() error {
	err := e.server.Close()
	e.served.Wait()
	return err
}

// ServeHTTP takes one delivery.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := e.bodies.Get().(*bytes.Buffer)
	defer e.bodies.Put(body)
	body.Reset()
	_, err := io.Copy(body, r.Body)
	if err == nil {
		var number uint64
		if number, err = pushedNumber(body.Bytes()); err == nil {
			err = e.tracker.markAll([]uint64{number}, time.Now())
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

var pushedData = []byte(`"data":"`)

// pushedNumber reads the stamp of a delivered message without decoding the rest of the JSON: its data is the only field of that name.
func pushedNumber(body []byte) (uint64, error) {
	at := bytes.Index(body, pushedData)
	const stampText = 24 // 18 bytes
	if at < 0 || len(body) < at+len(pushedData)+stampText {
		return 0, errors.New("a push without data")
	}
	var stamp [18]byte
	if _, err := base64.StdEncoding.Decode(stamp[:], body[at+len(pushedData):][:stampText]); err != nil {
		return 0, fmt.Errorf("a push whose data is not base64: %w", err)
	}
	return binary.LittleEndian.Uint64(stamp[:]), nil
}

// PushResult is what came to an endpoint.
type PushResult struct {
	Messages   uint64
	Duplicates uint64
	Elapsed    time.Duration // from the first publish call to the last delivery
}

// Push publishes that many messages to a topic whose push subscription delivers to the endpoint, and waits until exactly those have come.
func (c *Client) Push(ctx context.Context, e *Endpoint, topic string, shape Shape, inFlight int, messages uint64, stallMax time.Duration) (*PushResult, error) {
	start := time.Now()
	if err := c.Fill(ctx, topic, shape, inFlight, messages); err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	if err := e.tracker.wait(ctx, messages, stallMax, nil); err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	if !e.tracker.complete(messages) {
		return nil, fmt.Errorf("push: %w: other messages came in their place", ErrLost)
	}
	unique, duplicates, lastNew := e.tracker.progress()
	return &PushResult{Messages: unique, Duplicates: duplicates, Elapsed: lastNew.Sub(start)}, nil
}
