package peer

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/posthaste-io/posthaste/bench/load"
)

// StartEmulator starts Google's Pub/Sub emulator from its jar with the java on the path, and waits until it answers calls. It keeps
// everything in memory.
func StartEmulator(ctx context.Context, jar string) (*Process, error) {
	if _, err := os.Stat(jar); err != nil {
		return nil, fmt.Errorf("start the emulator: %w", err)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("start the emulator: %w", err)
	}
	p, err := start("emulator", exec.Command("java", "-jar", jar, "--host="+host, "--port="+port))
	if err != nil {
		return nil, err
	}
	p.Address = address
	client, err := load.Dial(address, 1)
	if err != nil {
		return nil, stopAfter(p, err)
	}
	defer client.Close()
	err = p.poll(ctx, 5*time.Millisecond, func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return accepts(address) && client.WaitServing(ctx) == nil
	})
	if err != nil {
		return nil, stopAfter(p, err)
	}
	return p, nil
}

// accepts says whether something listens: asked before gRPC connects, whose wait after a refused connection would be measured too.
func accepts(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// stopAfter stops a process that did not come up. That it may have ended by itself is in the first error already.
func stopAfter(p *Process, err error) error {
	_ = p.Stop() //nolint:errcheck // err says more
	return err
}
