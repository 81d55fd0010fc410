package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/text"
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

// callError says what a call to a server was about and, on one line, how it failed: the status code as the API documents it, and the
// server's message.
type callError struct {
	about   string
	address string
	err     error
}

func (e *callError) Unwrap() error { return e.err }

// dialing begins the message of a call that reached no server, before the operating system's reason.
const dialing = `connection error: desc = "transport: Error while dialing: `

func (e *callError) Error() string {
	s := status.Convert(e.err)
	message := text.OneLine(s.Message())
	if reason, unreached := strings.CutPrefix(message, dialing); unreached {
		message = fmt.Sprintf("no server at %s: %s", e.address, strings.TrimSuffix(reason, `"`))
	}
	return fmt.Sprintf("%s: %s: %s", e.about, codeName(s.Code()), message)
}

// codeName spells a status code as the API's documents do: NOT_FOUND, not NotFound.
func codeName(c codes.Code) string {
	if c == codes.Canceled {
		return "CANCELLED"
	}
	var name strings.Builder
	lower := false
	for _, r := range c.String() {
		if unicode.IsUpper(r) && lower {
			name.WriteByte('_')
		}
		lower = unicode.IsLower(r)
		name.WriteRune(unicode.ToUpper(r))
	}
	return name.String()
}
