// Command posthaste is a durable message broker that speaks Google Cloud Pub/Sub, and the client commands to work with one.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/posthaste-io/posthaste/internal/transform/sandbox"
)

func main() {
	sandbox.ServeIfAsked()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		<-signals
		stop()
		<-signals // whoever asks twice does not want to wait
		os.Exit(exitInterrupted)
	}()
	os.Exit((&app{in: os.Stdin, out: os.Stdout, errs: os.Stderr, lookupEnv: os.LookupEnv}).execute(ctx, os.Args[1:]))
}
