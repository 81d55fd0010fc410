package client

import (
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/text"
)

// Error says what a call to a server was about and, on one line, how it failed: the status code as the API documents it, and the
// server's message.
type Error struct {
	about   string
	address string
	err     error
}

// Unwrap gives the status that the call ended with.
func (e *Error) Unwrap() error { return e.err }

// dialing begins the message of a call that reached no server, before the operating system's reason.
const dialing = `connection error: desc = "transport: Error while dialing: `

// Error implements error.
func (e *Error) Error() string {
	s := status.Convert(e.err)
	message := text.OneLine(s.Message())
	if reason, unreached := strings.CutPrefix(message, dialing); unreached {
		message = fmt.Sprintf("no server at %s: %s", e.address, strings.TrimSuffix(reason, `"`))
	}
	return fmt.Sprintf("%s: %s: %s%s", e.about, code.Code(s.Code()), message, reason(s))
}

// reason is what the details of a status add to its text: why a message does not follow its schema, which the text leaves out.
func reason(s *status.Status) string {
	for _, detail := range s.Details() {
		if info, is := detail.(*errdetails.ErrorInfo); is && info.Metadata["revisionInfo"] != "" {
			return " " + text.OneLine(info.Metadata["revisionInfo"])
		}
	}
	return ""
}
