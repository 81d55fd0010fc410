package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/text"
)

// show prints one resource: all its fields as text, or its JSON form on one line.
func (a *app) show(m proto.Message) error {
	if a.output == outputJSON {
		return a.showJSON(m)
	}
	aligned := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	text.Describe(aligned, m)
	return aligned.Flush()
}

// showJSON prints the JSON form of the API on one line.
func (a *app) showJSON(m proto.Message) error {
	line, err := text.JSON(m)
	if err != nil {
		return err
	}
	_, err = a.out.Write(line)
	return err
}

// report prints one line about what was done: words as text, or an object as JSON.
func (a *app) report(words string, object any) error {
	if a.output == outputJSON {
		return json.NewEncoder(a.out).Encode(object)
	}
	_, err := fmt.Fprintln(a.out, words)
	return err
}
