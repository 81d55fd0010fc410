package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestShellsCompleteNamesOfTheServer(t *testing.T) {
	f := newFake(t)
	for _, args := range [][]string{
		{"topic", "create", "orders", "orders-late", "invoices"}, // more than a page of the fake's
		{"subscription", "create", "orders-eu", "--topic", "orders"},
	} {
		if got := f.run(t, "", args...); got.code != 0 {
			t.Fatalf("%q: %+v", args, got)
		}
	}
	for _, c := range []struct{ typed, want string }{
		{"topic describe ", "invoices orders orders-late"},
		{"topic describe ord", "orders orders-late"},
		{"topic describe projects/p/topics/i", "projects/p/topics/invoices"},
		{"topic describe orders ", ""},
		{"topic delete orders inv", "invoices"},
		{"topic create ord", ""},
		{"publish inv", "invoices"},
		{"publish invoices ord", ""},
		{"pull ", "orders-eu"},
		{"subscription seek or", "orders-eu"},
		{"subscription create eu --topic in", "invoices"},
		{"subscription update orders-eu --dead-letter-topic ", "invoices orders orders-late"},
		{"subscription update x", ""},
		{"snapshot create --subscription ", "orders-eu"},
		{"topic describe --project other ", ""},
	} {
		got := f.run(t, "", append([]string{"__complete"}, strings.Split(c.typed, " ")...)...)
		lines := strings.Fields(got.out)
		if n := len(lines) - 1; got.code != 0 || n < 0 || strings.Join(lines[:n], " ") != c.want {
			t.Errorf("%q is completed by %+v, want %s", c.typed, got, c.want)
		}
	}
}

func TestCompletionWithoutAServerIsEmpty(t *testing.T) {
	got := runIn(t, map[string]string{"POSTHASTE_ADDR": "127.0.0.1:1"}, "", "__complete", "topic", "describe", "")
	if got.code != 0 || strings.TrimSpace(got.out) != ":4" { // 4: no file names
		t.Errorf("%+v", got)
	}
}

func TestEveryCommandThatTakesANameCompletesIt(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, below := range c.Commands() {
			walk(below)
		}
		_, arguments, _ := strings.Cut(c.Use, " ")
		for kind := range listings {
			if strings.HasPrefix(strings.Trim(arguments, "["), strings.ToUpper(kind)) && c.Name() != "create" && c.ValidArgsFunction == nil {
				t.Errorf("%s completes no names", c.CommandPath())
			}
		}
	}
	walk((&app{}).rootCommand())
}
