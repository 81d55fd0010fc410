package transform

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// Local runs functions in this process. It keeps runtimes for the chains that were used last, at most one for each processor and chain:
// more would not be faster.
type Local struct {
	turns chan struct{} // as many as may run at one time

	mu    sync.Mutex
	spare map[uint64][]*script // by chain
	count int                  // of spare scripts
}

// spareMax bounds the runtimes that are kept. Each has about a quarter of a megabyte.
const spareMax = 64

// NewLocal makes a runner that runs as many functions at one time as there are processors.
func NewLocal() *Local {
	return &Local{turns: make(chan struct{}, runtime.GOMAXPROCS(0)), spare: make(map[uint64][]*script)}
}

// Run implements Runner.
func (l *Local) Run(ctx context.Context, c *Chain, in []Input) ([]Outcome, error) {
	select {
	case l.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-l.turns }()
	var s *script
	out := make([]Outcome, len(in))
	for i := range in {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if s == nil && c.Scripted() {
			var index int
			var fault string
			if s, index, fault = l.take(c); fault != "" {
				for ; i < len(in); i++ {
					out[i].Failure = fmt.Sprintf("message transform %d: %s", index, fault)
				}
				return out, nil
			}
		}
		out[i] = run(c, s, &in[i])
		if s != nil && s.spent {
			s = nil
		}
		if c.Whole && out[i].Failure != "" {
			break
		}
	}
	if s != nil {
		l.keep(c.Number, s)
	}
	return out, nil
}

// run takes one message through all steps.
func run(c *Chain, s *script, in *Input) Outcome {
	m := parse(in.Message)
	for i, step := range c.steps {
		var dropped bool
		var failure string
		if udf := step.GetJavascriptUdf(); udf != nil {
			dropped, failure = s.call(i, &m, in)
		} else {
			failure = compress(&m, step.GetCompression())
		}
		switch {
		case failure != "":
			return Outcome{Failure: fmt.Sprintf("message transform %d: %s", i, failure)}
		case dropped:
			return Outcome{Dropped: true}
		}
		if s != nil && s.spent {
			return Outcome{Failure: fmt.Sprintf("message transform %d: %v", i, errTooLong)}
		}
	}
	if fault := m.fault(m.attributes); fault != "" {
		return Outcome{Failure: fault}
	}
	return Outcome{Message: m.encode()}
}

// take gives a runtime for the chain to one who has a turn.
func (l *Local) take(c *Chain) (s *script, index int, fault string) {
	l.mu.Lock()
	if spare := l.spare[c.Number]; len(spare) > 0 {
		s = spare[len(spare)-1]
		if l.spare[c.Number] = spare[:len(spare)-1]; len(spare) == 1 {
			delete(l.spare, c.Number)
		}
		l.count--
	}
	l.mu.Unlock()
	if s != nil {
		return s, 0, ""
	}
	return newScript(c.steps)
}

// keep takes a runtime back for the chain's next messages.
func (l *Local) keep(chain uint64, s *script) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count >= spareMax {
		clear(l.spare) // which ones will be used again nobody knows, and they are quickly made
		l.count = 0
	}
	l.spare[chain] = append(l.spare[chain], s)
	l.count++
}

// Check implements Runner.
func (l *Local) Check(ctx context.Context, transforms []*pubsubpb.MessageTransform) (index int, fault string, err error) {
	select {
	case l.turns <- struct{}{}:
	case <-ctx.Done():
		return 0, "", context.Cause(ctx)
	}
	defer func() { <-l.turns }()
	for i := range transforms {
		if ctx.Err() != nil {
			return 0, "", context.Cause(ctx)
		}
		if _, _, fault = newScript(transforms[i : i+1]); fault != "" {
			return i, fault, nil
		}
	}
	return 0, "", nil
}

// Close implements Runner. There is nothing to end.
func (l *Local) Close() error { return nil }
