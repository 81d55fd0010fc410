package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/posthaste-io/posthaste/internal/text"
)

// healthTimeout bounds the question; container runtimes ask every few seconds.
const healthTimeout = 5 * time.Second

func (a *app) healthCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "health", Short: "Ask a server whether it takes calls",
		Long: `Ask /readyz and print the answer; the exit code is 0 if the server takes calls. For health checks of containers, which have no
other program in them: POSTHASTE_LISTEN, if it is set, says where to ask.`,
		Example: "  posthaste health\n  posthaste health --addr broker:8085", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.askHealth(c.Context()) },
	}
	return a.clientFlags(c)
}

// healthAddress is where the server listens if its settings in the environment say so, which is what a health check shares with it.
func (a *app) healthAddress() string {
	if listen, _ := a.lookupEnv("POSTHASTE_LISTEN"); listen != "" && a.addr == "" {
		if host, port, err := net.SplitHostPort(listen); err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
			return net.JoinHostPort("127.0.0.1", port)
		}
		return listen
	}
	return a.serverAddress()
}

func (a *app) askHealth(ctx context.Context) error {
	address := a.healthAddress()
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return usage("address %q: %v", address, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("no server at %s: %w", address, errors.Unwrap(err))
	}
	defer response.Body.Close()
	const most = 1 << 10
	body, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", address, err)
	}
	state := text.OneLine(strings.TrimSpace(string(body)))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s takes no calls: %s", address, state)
	}
	return a.report(state, map[string]string{"state": state})
}
