package blackbox

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/posthaste-io/posthaste/chaos/process"
)

// BenchmarkRESTPublish publishes batches of 100 messages of 1 KiB over HTTP/JSON, from 32 connections, to a server that syncs before it
// answers. Client and server share the machine.
func BenchmarkRESTPublish(b *testing.B) {
	addr, err := process.FreeAddr()
	if err != nil {
		b.Fatal(err)
	}
	broker := &process.Broker{Addr: addr, Data: filepath.Join(b.TempDir(), "data"), Log: new(process.Log)}
	if err := broker.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := broker.Kill(); err != nil {
			b.Error(err)
		}
	}()
	const batch, connections = 100, 32
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true}}
	call := func(method, path string, body []byte) error {
		request, err := http.NewRequest(method, "http://"+addr+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("%d %s %w", response.StatusCode, text, err)
		}
		return nil
	}
	if err := call("PUT", "/v1/projects/p/topics/load", nil); err != nil {
		b.Fatal(err)
	}
	message := `{"data":"` + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("posthaste"), 114)[:1024]) + `"}`
	body := []byte(`{"messages":[` + message)
	for range batch - 1 {
		body = append(body, ","+message...)
	}
	body = append(body, "]}"...)
	var left atomic.Int64
	left.Store(int64(b.N))
	var group sync.WaitGroup
	b.ResetTimer()
	for range connections {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				if err := call("POST", "/v1/projects/p/topics/load:publish", body); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "messages/s")
}
