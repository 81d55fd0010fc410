package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
)

const jetStreamKind = "jetstream"

// StartJetStream starts a NATS server with JetStream that keeps its streams in files under dir. With syncAlways it syncs every write
// before it answers; without, it does so every two minutes, its default.
func StartJetStream(dir string, syncAlways bool) (*Process, error) {
	name := "jetstream"
	if syncAlways {
		name = "jetstream, sync always"
	}
	return startChild(name, jetStreamKind, dir, strconv.FormatBool(syncAlways))
}

func serveJetStream(ctx context.Context, arguments []string, stdout io.Writer) error {
	if len(arguments) != 2 {
		return fmt.Errorf("jetstream: %d arguments, want the directory and whether to sync always", len(arguments))
	}
	syncAlways, err := strconv.ParseBool(arguments[1])
	if err != nil {
		return fmt.Errorf("jetstream: %w", err)
	}
	if err := os.MkdirAll(arguments[0], 0o755); err != nil { // the server would only be found not to come up
		return fmt.Errorf("jetstream: %w", err)
	}
	options := &server.Options{
		Host:       "127.0.0.1",
		Port:       server.RANDOM_PORT,
		JetStream:  true,
		StoreDir:   arguments[0],
		SyncAlways: syncAlways,
		NoSigs:     true,
		NoLog:      true,
	}
	s, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("jetstream: %w", err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(startMax) || !s.JetStreamEnabled() {
		return errors.New("jetstream: it does not come up")
	}
	address, ok := s.Addr().(*net.TCPAddr)
	if !ok {
		return errors.New("jetstream: it has no TCP address")
	}
	if _, err := fmt.Fprintf(stdout, "%s%s\n", listeningPrefix, address); err != nil {
		return fmt.Errorf("jetstream: say the address: %w", err)
	}
	<-ctx.Done()
	return nil
}
