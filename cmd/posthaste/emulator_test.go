package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/posthaste-io/posthaste/internal/config"
)

func TestTheEmulatorsCommandLineStartsABroker(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"gcloud beta emulators pubsub start --host-port=0.0.0.0:8085", "serve --host-port=0.0.0.0:8085"},
		{"gcloud emulators pubsub start", "serve"},
		{"gcloud alpha emulators pubsub start --project shop --data-dir /d --host-port 8681", "serve --project=shop --data=/d --host-port=8681"},
		{"gcloud beta emulators pubsub start --quiet --verbosity=debug --user-output-enabled --project=p --log-http", "serve --project=p"},
		{"gcloud beta emulators pubsub start --host-port", "serve --host-port="},
		{"gcloud pubsub topics list", "gcloud pubsub topics list"},
		{"gcloud beta emulators pubsub env-init", "gcloud beta emulators pubsub env-init"},
		{"gcloud", "gcloud"},
		{"serve --port 1", "serve --port 1"},
		{"", ""},
	} {
		if got := strings.Join(fromEmulator(strings.Fields(c.args)), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.args, got, c.want)
		}
	}
	if got := runIn(t, nil, "", "gcloud", "pubsub"); got.code != 2 || !strings.Contains(got.errs, `unknown command "gcloud"`) {
		t.Errorf("%+v", got)
	}
}

func TestServeUnderstandsTheEmulatorsFlags(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "127.0.0.1:8085"},
		{"--host-port=0.0.0.0:8681", "0.0.0.0:8681"},
		{"--host-port 8681", "127.0.0.1:8681"},
		{"--host-port :8681", ":8681"},
		{"--host-port [::1]:8681", "[::1]:8681"},
		{"--port 8681", "127.0.0.1:8681"},
		{"--host 0.0.0.0", "0.0.0.0:8085"},
		{"--host ::1 --port=1", "[::1]:1"},
		{"--listen :1", ":1"},
		{"--listen :1 --port 1", "error"},
		{"--host-port :1 --host ::", "error"},
		{"--host-port x:y", "error"},
		{"--port 70000", "error"},
	} {
		flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		config.Flags(flags)
		(&app{}).emulatorFlags(flags)
		if err := flags.Parse(strings.Fields(c.args)); err != nil {
			t.Fatal(err)
		}
		err := listenFrom(flags)
		if err == nil {
			var settings *config.Config
			if settings, err = config.Load(flags, lookupIn(nil)); err == nil && settings.Listen != c.want {
				t.Errorf("%s: listens on %s, want %s", c.args, settings.Listen, c.want)
			}
		}
		if (err != nil) != (c.want == "error") {
			t.Errorf("%s: %v", c.args, err)
		}
	}
}
