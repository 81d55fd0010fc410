//go:build race

package wire_test

// raceEnabled: sync.Pool drops some of what it is given on purpose under the race detector.
const raceEnabled = true
