package peer

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"time"
)

// BuildPosthaste builds the broker of the module that the working directory is in.
func BuildPosthaste(ctx context.Context, into string) error {
	command := exec.CommandContext(ctx, "go", "build", "-o", into, "github.com/posthaste-io/posthaste/cmd/posthaste")
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("build posthaste (give --binary to use one that is built): %w: %s", err, bytes.TrimSpace(output))
	}
	return nil
}

// Posthaste says how to start a broker.
type Posthaste struct {
	Binary    string
	Data      string   // the data directory
	Arguments []string // further ones of "serve"
}

// Start starts the broker and waits until /readyz says yes. ready is the time that took, from starting the process.
func (b Posthaste) Start(ctx context.Context) (p *Process, ready time.Duration, err error) {
	address, err := freeAddress()
	if err != nil {
		return nil, 0, err
	}
	arguments := append([]string{"serve", "--listen", address, "--data", b.Data}, b.Arguments...)
	p, err = start("posthaste", exec.Command(b.Binary, arguments...))
	if err != nil {
		return nil, 0, err
	}
	p.Address = address
	err = p.poll(ctx, time.Millisecond, func(ctx context.Context) bool { return readyz(ctx, address) })
	if err != nil {
		return nil, 0, stopAfter(p, err)
	}
	return p, time.Since(p.Started), nil
}

// readyz asks over a fresh connection: one that a starting server had not accepted yet would be in the way.
func readyz(ctx context.Context, address string) bool {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	response, err := (&http.Client{Transport: transport, Timeout: time.Second}).Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}
