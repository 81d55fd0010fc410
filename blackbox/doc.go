// Package blackbox holds tests only: they start the real broker and speak to it as its users do, with Google's own client library and with
// plain gRPC calls. They read as a specification of what the broker answers.
//
// With POSTHASTE_TEST_ADDR=host:port they aim at a server that already runs; tests that must start, stop or restart one are then skipped.
package blackbox
