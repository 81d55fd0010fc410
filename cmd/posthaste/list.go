package main

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// listPage is how many resources one call of a list command asks for.
const listPage = 1000

// pages calls next until it gives no further page token, each time with the last token in its request and a deadline of its own.
func pages(ctx context.Context, token *string, next func(context.Context) (string, error)) error {
	for {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		following, err := next(call)
		cancel()
		if err != nil || following == "" {
			return err
		}
		*token = following
	}
}

// named is a resource of the API.
type named interface {
	proto.Message
	GetName() string
}

// showAll prints resources one a line: the names as text, or everything as JSON.
func showAll[Resource named](a *app, resources []Resource) error {
	for _, r := range resources {
		if a.output == outputJSON {
			if err := a.showJSON(r); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintln(a.out, r.GetName()); err != nil {
			return err
		}
	}
	return nil
}

// changed prints what became of a resource.
func (a *app) changed(verb, name string, resource proto.Message) error {
	if a.output == outputJSON {
		return a.showJSON(resource)
	}
	_, err := fmt.Fprintln(a.out, verb, name)
	return err
}
