package push

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
)

// succeeded says whether an HTTP status acknowledges a message. Others of the 2xx do not.
func succeeded(status int) bool {
	switch status {
	case http.StatusProcessing, http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
		return true
	}
	return false
}

// answerBytesMax is how much of an answer is read, so that its connection can be used again. What an endpoint says is of no interest.
const answerBytesMax = 64 << 10

// errUnspeakable is about a message whose attributes cannot be headers.
var errUnspeakable = errors.New("an attribute or the ordering key of the message is no valid HTTP header")

// send posts a message and gives the status of the answer. Redirections are not followed. A status of 102 is not the last word of an
// answer but enough: it counts whatever comes behind it.
func (s *Service) send(ctx context.Context, p *post) (status int, err error) {
	if p.unspeakable {
		return 0, errUnspeakable
	}
	ctx, cancel := context.WithTimeout(ctx, p.to.AckDeadline)
	defer cancel()
	var bearer string
	if p.to.account != "" {
		if bearer, err = s.options.Tokens.Token(ctx, p.to.account, p.to.audience); err != nil {
			return 0, err
		}
	}
	var processing atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		if code == http.StatusProcessing {
			processing.Store(true)
		}
		return nil
	}})
	response, err := s.transport.RoundTrip(p.request(bearer).WithContext(ctx))
	if err == nil {
		status = response.StatusCode
		_, _ = io.CopyN(io.Discard, response.Body, answerBytesMax) // whatever the end is, the status has come
		_ = response.Body.Close()
	}
	if processing.Load() {
		return http.StatusProcessing, nil
	}
	return status, err
}
