package load

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// PublishREST is Publish over HTTP/JSON, to the one topic of the work. Messages carry data only, the same in each call of a worker, which has a connection of its own.
func (c *Client) PublishREST(ctx context.Context, work PublishWork) (*PublishResult, error) {
	if len(work.Topics) != 1 || work.InFlight < 1 {
		return nil, fmt.Errorf("publish over REST: %d topics, %d in flight", len(work.Topics), work.InFlight)
	}
	if err := work.Shape.validate(); err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: work.InFlight, DisableCompression: true,
		WriteBufferSize: bufferBytes, ReadBufferSize: bufferBytes}
	defer transport.CloseIdleConnections()
	p := &publisher{client: c, shape: work.Shape}
	client := &http.Client{Transport: transport}
	url := "http://" + c.address + "/v1/" + work.Topics[0] + ":publish"
	group, ctx := errgroup.WithContext(ctx)
	for i := range work.InFlight {
		w := &publishWorker{}
		p.workers = append(p.workers, w)
		group.Go(func() error { return p.workREST(ctx, client, url, restBody(work.Shape, uint64(i)), w) })
	}
	var elapsed time.Duration
	group.Go(func() (err error) {
		elapsed, err = p.window(ctx, work)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("publish over REST: %w", err)
	}
	result := p.result()
	result.Elapsed = elapsed
	return result, nil
}

// restBody encodes a PublishRequest with incompressible data as JSON.
func restBody(shape Shape, seed uint64) []byte {
	body := []byte(`{"messages":[`)
	for i := range shape.MessagesPerCall {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, `{"data":"`...)
		body = base64.StdEncoding.AppendEncode(body, Payload(shape.DataBytes, seed<<16+uint64(i)))
		body = append(body, `"}`...)
	}
	return append(body, "]}"...)
}

// workREST is one worker.
func (p *publisher) workREST(ctx context.Context, client *http.Client, url string, body []byte, w *publishWorker) error {
	for !p.stopped.Load() {
		start := time.Now()
		ids, err := callREST(ctx, client, url, body)
		if err != nil {
			return err
		}
		if ids != p.shape.MessagesPerCall {
			return fmt.Errorf("%d messages were answered with %d message ids", p.shape.MessagesPerCall, ids)
		}
		if p.measuring.Load() {
			w.calls++
			w.latency.Record(time.Since(start), 1)
		}
	}
	return nil
}

// callREST does one publish and counts the ids of its answer.
func callREST(ctx context.Context, client *http.Client, url string, body []byte) (ids int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read to its end
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(text))
	}
	var answer struct{ MessageIDs []string }
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, fmt.Errorf("answer %q: %w", text, err)
	}
	return len(answer.MessageIDs), nil
}
