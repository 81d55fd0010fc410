package main

import (
	"errors"
	"fmt"
)

// Exit codes, which the help of the root command lists.
const (
	exitOK          = 0
	exitFailure     = 1   // the command failed
	exitUsage       = 2   // arguments, flags or settings are wrong; nothing was tried
	exitInUse       = 3   // serve: another process has the data directory
	exitStorage     = 4   // serve: the log could no longer be written; a restart recovers what is on disk
	exitDiffers     = 5   // apply --dry-run: there is something to change
	exitInterrupted = 130 // ended at once by a second signal
)

// codedError is an error that ends the process with its own exit code.
type codedError struct {
	error
	code int
}

func (e *codedError) Unwrap() error { return e.error }

// usage makes an error that ends the process with exitUsage.
func usage(format string, args ...any) error {
	return &codedError{fmt.Errorf(format, args...), exitUsage}
}

// exitCode is the code that err asks for; before a command has started, every error is one of usage.
func exitCode(err error, started bool) int {
	var coded *codedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case !started:
		return exitUsage
	default:
		return exitFailure
	}
}
