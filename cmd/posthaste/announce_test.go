package main

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/posthaste-io/posthaste/internal/config"
)

func TestPortInUseIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	got := runIn(t, nil, "", "serve", "--listen", taken.Addr().String(), "--data", t.TempDir())
	if got.code != 1 || !strings.Contains(got.errs, "listen tcp "+taken.Addr().String()+": bind: address already in use") || got.out != "" {
		t.Errorf("%+v", got)
	}
}

func TestAnnouncementIsOneLineToCopyFrom(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out, output: outputText}
	settings := &config.Config{Data: "./data", Sync: config.Sync{Mode: config.SyncAlways}}
	if err := a.announce(settings, &net.TCPAddr{IP: net.IPv6unspecified, Port: 99}); err != nil {
		t.Fatal(err)
	}
	if want := "posthaste: gRPC and HTTP on [::]:99, data in ./data, sync always; clients: export PUBSUB_EMULATOR_HOST=localhost:99\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
	out.Reset()
	a.output = outputJSON
	if err := a.announce(settings, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 99}); err != nil {
		t.Fatal(err)
	}
	if want := `{"listen":"127.0.0.1:99","data":"./data","sync":"always","export":"PUBSUB_EMULATOR_HOST=127.0.0.1:99","pid":`; !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %q", out.String())
	}
}
