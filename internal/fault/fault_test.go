package fault

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/engine"
)

func TestEveryFailureOfTheEngineHasACodeThatClientsCanActOn(t *testing.T) {
	for _, c := range []struct {
		err  error
		code codes.Code
	}{
		{nil, codes.OK},
		{engine.ErrFull, codes.ResourceExhausted},
		{fmt.Errorf("segment 7: %w", engine.ErrFull), codes.ResourceExhausted},
		{fmt.Errorf("segment 7: %w", engine.ErrCorrupt), codes.DataLoss},
		{context.Canceled, codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{errors.New("sync: input/output error"), codes.Unavailable},
	} {
		if got := status.Code(Status(c.err)); got != c.code {
			t.Errorf("%v: %v, want %v", c.err, got, c.code)
		}
	}
}
