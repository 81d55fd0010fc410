package broker

import (
	"slices"
	"time"

	"github.com/posthaste-io/posthaste/internal/delivery"
)

// storm lets one subscription have very many messages out, of few ordering keys, on streams without limits, and its subscribers be
// late: they acknowledge, extend and give back about when the leases run out, in any order.
func (s *simulation) storm() error {
	sub := s.subs[s.dice.IntN(len(s.subs))]
	for range 2 + s.dice.IntN(2) {
		if err := s.attach(sub, delivery.Credit{}); err != nil {
			return err
		}
	}
	for range 5 + s.dice.IntN(20) {
		if err := s.publish(); err != nil {
			return err
		}
	}
	if err := s.pollAll(); err != nil {
		return err
	}
	late := streamDeadline - time.Duration(s.dice.IntN(8))*simulationTick
	for waited := time.Duration(0); waited < late; waited += simulationTick {
		if err := s.tick(); err != nil {
			return err
		}
	}
	for range 10 + s.dice.IntN(60) {
		if err := s.settleLate(sub); err != nil {
			return err
		}
		if s.dice.IntN(5) == 0 {
			if err := s.tick(); err != nil {
				return err
			}
		}
	}
	return nil
}

// settleLate does something with a message of the subscription that is out, or was until just now.
func (s *simulation) settleLate(sub *simulatedSub) error {
	from := s.dice.IntN(len(s.held) + 1)
	at := slices.IndexFunc(s.held[from:], func(r receipt) bool { return r.sub == sub })
	if at < 0 {
		return nil
	}
	r := s.held[from+at]
	switch verb := s.dice.IntN(10); {
	case verb < 6:
		return s.acknowledge(s.give(from+at), s.dice.IntN(2) == 0)
	case verb < 9:
		s.modify(r, time.Second*time.Duration(1+s.dice.IntN(12)))
	default:
		s.modify(s.give(from+at), 0)
	}
	return nil
}
