package main

import (
	"cmp"
	"net"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// fromEmulator turns the command line that starts Google's emulator into ours, so that a container whose image is replaced keeps its command:
//
//	gcloud beta emulators pubsub start --host-port=0.0.0.0:8085 --project=shop --quiet
//
// Flags of gcloud that say nothing to a broker are dropped. Any other command line stays as it is.
func fromEmulator(args []string) []string {
	if len(args) == 0 || args[0] != "gcloud" {
		return args
	}
	rest := args[1:]
	if len(rest) > 0 && (rest[0] == "beta" || rest[0] == "alpha") {
		rest = rest[1:]
	}
	if len(rest) < 3 || !slices.Equal(rest[:3], []string{"emulators", "pubsub", "start"}) {
		return args
	}
	ours := []string{"serve"}
	known := map[string]string{"--host-port": "--host-port", "--project": "--project", "--data-dir": "--data"}
	for i := 3; i < len(rest); i++ {
		name, value, joined := strings.Cut(rest[i], "=")
		flag, is := known[name]
		if !is {
			continue
		}
		if !joined && i+1 < len(rest) {
			i++
			value = rest[i]
		}
		ours = append(ours, flag+"="+value)
	}
	return ours
}

// emulatorFlags adds the flags by which Google's emulator and its wrappers are started, so that their command lines keep working.
func (a *app) emulatorFlags(flags *pflag.FlagSet) {
	flags.String("host-port", "", "as --listen, for command lines of Google's emulator: `HOST:PORT` or a port")
	flags.String("host", "", "the host part of --listen")
	flags.String("port", "", "the port part of --listen")
	flags.StringVar(&a.project, "project", "", "`ID` of the project for short names in the file of resources (default PUBSUB_PROJECT_ID, GOOGLE_CLOUD_PROJECT or "+projectDefault+")")
}

// listenFrom turns the emulator's flags into --listen. The emulator listens on localhost unless it is told otherwise.
func listenFrom(flags *pflag.FlagSet) error {
	host, port := flags.Lookup("host"), flags.Lookup("port")
	given := flags.Lookup("host-port")
	switch {
	case !given.Changed && !host.Changed && !port.Changed:
		return nil
	case flags.Changed("listen") || given.Changed && (host.Changed || port.Changed):
		return usage("--listen, --host-port, and --host with --port say the same thing; give one of them")
	case given.Changed:
		return flags.Set("listen", withHost(given.Value.String()))
	}
	const usual = "8085" // as the emulator's
	return flags.Set("listen", net.JoinHostPort(cmp.Or(host.Value.String(), "127.0.0.1"), cmp.Or(port.Value.String(), usual)))
}

// withHost completes an address that is nothing but a port.
func withHost(address string) string {
	if _, _, err := net.SplitHostPort(address); err != nil && address != "" {
		return net.JoinHostPort("127.0.0.1", address)
	}
	return address
}
