package provision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/posthaste-io/posthaste/internal/declare"
	"github.com/posthaste-io/posthaste/internal/limit"
)

// Startup is what a broker is to have before it takes its first call.
type Startup struct {
	Declared *declare.Resources // what differs is updated
	Named    *declare.Resources // by sources that say no more than names: what is there stays as it is
}

// Services are a broker's, as they are served on any port.
type Services struct {
	Options  []grpc.ServerOption
	Register func(grpc.ServiceRegistrar)
}

// Apply gives a broker what it is to have, through the same services as any client, which are served on no port for that long. A
// difference that no update can make is logged and left; whatever else goes wrong is an error, since clients would miss something.
func (s *Startup) Apply(ctx context.Context, services Services, log *slog.Logger) error {
	if len(s.Declared.Projects())+len(s.Named.Projects()) == 0 {
		return nil
	}
	server, stop, err := within(services)
	if err != nil {
		return err
	}
	defer stop()
	if err := s.applyTo(ctx, server, log); err != nil {
		return fmt.Errorf("resources at the start: %w", err)
	}
	return nil
}

func (s *Startup) applyTo(ctx context.Context, server *Server, log *slog.Logger) error {
	have, err := server.List(ctx, s.Declared.Projects())
	if err != nil {
		return err
	}
	if err := server.carryOutAll(ctx, declare.Plan(s.Declared, have, false), log); err != nil {
		return err
	}
	// What is declared is there now, so that of a name in both places the declaration counts.
	if have, err = server.List(ctx, s.Named.Projects()); err != nil {
		return err
	}
	return server.carryOutAll(ctx, declare.Plan(declare.Absent(s.Named, have), have, false), log)
}

// carryOutAll carries out every step that it can and joins the errors of the others.
func (s *Server) carryOutAll(ctx context.Context, steps []declare.Step, log *slog.Logger) error {
	var failures []error
	for i := range steps {
		step := &steps[i]
		if err := s.CarryOut(ctx, step); err != nil {
			failures = append(failures, err)
			continue
		}
		switch step.Verb {
		case declare.Unchanged:
		case declare.Conflict:
			log.Warn("a resource differs from its declaration in what cannot be changed; it stays as it is", "resource", step.Name, "difference", step.Text(false))
		default:
			log.Info("applied", "resource", step.Name, "step", step.Text(false))
		}
	}
	return errors.Join(failures...)
}

// within connects to services inside this process. stop ends the connection and the services on it.
func within(services Services) (server *Server, stop func(), err error) {
	const bufferBytes = 1 << 20
	listener := bufconn.Listen(bufferBytes)
	calls := grpc.NewServer(services.Options...)
	services.Register(calls)
	ended := make(chan struct{})
	go func() {
		_ = calls.Serve(listener) // ends when it is stopped; a call that fails says so itself
		close(ended)
	}()
	conn, err := grpc.NewClient("passthrough:within", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(limit.GRPCMessageBytesMax), grpc.MaxCallSendMsgSize(limit.GRPCMessageBytesMax)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	stop = func() {
		if conn != nil {
			_ = conn.Close() // nothing is under way any more
		}
		calls.Stop()
		<-ended
	}
	if err != nil {
		stop()
		return nil, nil, fmt.Errorf("connect to the services: %w", err)
	}
	return To(conn), stop, nil
}
