package main

import (
	"bytes"
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCommandLineSaysWhatToMeasure(t *testing.T) {
	var stderr bytes.Buffer
	options, out, err := parse([]string{"--only", "T1,T3", "--seconds", "5", "--output", "json", "--addr", "127.0.0.1:1", "--pid", "7",
		"--", "--sync=none"}, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	if out.format != "json" || options.Duration != 5*time.Second || !slices.Equal(options.Only, []string{"T1", "T3"}) ||
		options.Pid != 7 || !slices.Equal(options.ServeArguments, []string{"--sync=none"}) || !options.JetStream {
		t.Errorf("got %+v, %s", options, out.format)
	}
}

func TestCommandLineIsRefused(t *testing.T) {
	for _, arguments := range [][]string{{"--output", "xml"}, {"--seconds", "-1"}, {"--settle", "-1"}, {"--pid", "3"}, {"--nonsense"}} {
		var stderr bytes.Buffer
		if _, _, err := parse(arguments, &stderr); err == nil {
			t.Errorf("%q was accepted", arguments)
		}
	}
}

func TestHelpShowsExamplesAndEveryTarget(t *testing.T) {
	var stderr bytes.Buffer
	if _, _, err := parse([]string{"--help"}, &stderr); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"Examples:", "go run ./bench --only", "T13", "--emulator-jar"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("help does not mention %q", want)
		}
	}
}
