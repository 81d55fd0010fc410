// Package target measures what Posthaste has promised to reach, target by target, with the yardsticks beside it in the same run.
//
// A bar is mostly a ratio: the generator, the servers and everything else share one machine, whose speed the ratio takes out. Rounds
// of a yardstick and of the broker alternate, so that both see the same weather.
package target

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Options say what to measure, and on what.
type Options struct {
	Address        string   // of a broker that runs already; empty = build and start one for each target
	Pid            int      // of that broker, for its CPU time and memory; 0 = unknown
	Binary         string   // the broker to start; empty = build it from the module that the working directory is in
	ServeArguments []string // further arguments of "posthaste serve"
	Data           string   // where servers keep their files while measured; made if it is not there
	AllowMemory    bool     // accept a Data on tmpfs, where nothing durable can be measured

	JetStream   bool
	EmulatorJar string // empty = without the emulator

	Only        []string      // ids; empty = everything
	Duration    time.Duration // of each figure; 0 = DurationDefault, and a minute for T9
	Rounds      int           // a figure that has a yardstick is taken in so many turns
	Connections int           // of the generator to each server
	InFlight    int           // calls of 100 messages
	Pairs       int           // of a topic and a subscription in T13
	Backlog     int           // messages in T10; a multiple of backlogPerCall
	SettleMax   time.Duration // T13 waits at most so long for freed memory to go back

	Progress io.Writer // a line a step
}

// Defaults of Options.
const (
	DurationDefault       = 10 * time.Second
	DurationMemoryDefault = time.Minute // of T9
	RoundsDefault         = 3
	ConnectionsDefault    = 4
	InFlightDefault       = 32
	PairsDefault          = 100_000
	BacklogDefault        = 10_000_000
	SettleMaxDefault      = 150 * time.Second // longer than the two minutes after which Go collects garbage unasked
)

// validate also puts the ids into one spelling.
func (o *Options) validate() error {
	known := IDs()
	for i, id := range o.Only {
		o.Only[i] = strings.TrimSpace(id)
		if !slices.Contains(known, o.Only[i]) {
			return fmt.Errorf("target %q is not known: choose from %s", id, strings.Join(known, ", "))
		}
	}
	if o.Duration < 0 || o.Rounds < 1 || o.Connections < 1 || o.InFlight < 1 || o.Pairs < 1 {
		return fmt.Errorf("duration %v, rounds %d, connections %d, in flight %d, pairs %d: none may be below 1",
			o.Duration, o.Rounds, o.Connections, o.InFlight, o.Pairs)
	}
	if o.Backlog < 1 || o.Backlog%backlogPerCall != 0 {
		return fmt.Errorf("backlog %d: must be a multiple of %d", o.Backlog, backlogPerCall)
	}
	if slices.Contains(o.Only, "emulator") && o.EmulatorJar == "" {
		return fmt.Errorf("the emulator is asked for, and its jar is not given")
	}
	return nil
}

func (o *Options) duration() time.Duration {
	if o.Duration == 0 {
		return DurationDefault
	}
	return o.Duration
}

func (o *Options) memoryDuration() time.Duration {
	if o.Duration == 0 {
		return DurationMemoryDefault
	}
	return o.Duration
}

// wants says whether an id was chosen: by name, or by choosing nothing.
func (o *Options) wants(id string) bool {
	if len(o.Only) > 0 {
		return slices.Contains(o.Only, id)
	}
	return id != "jetstream" && id != "emulator" || id == "jetstream" && o.JetStream || id == "emulator" && o.EmulatorJar != ""
}
