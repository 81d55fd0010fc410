package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/posthaste-io/posthaste/internal/client"
)

// completionTimeout is how long a shell waits for names after a press of its completion key.
const completionTimeout = 2 * time.Second

// completeNames lets shells complete, in a command and those below it, the arguments and flags that take names with what the server has. Which
// these are is told by the words in the command's usage; the name of what is yet to be created cannot be known.
func (a *app) completeNames(c *cobra.Command) {
	for _, below := range c.Commands() {
		a.completeNames(below)
	}
	if words := strings.Fields(c.Use); len(words) > 1 && c.Name() != "create" {
		argument, _, _ := strings.Cut(strings.Trim(words[1], "[]."), "[")
		if kind := strings.ToLower(argument); listings[kind] != nil {
			c.ValidArgsFunction = a.completion(kind, strings.HasSuffix(words[1], "..."))
		}
	}
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		value, _ := pflag.UnquoteUsage(f)
		if kind := strings.ToLower(value); listings[kind] != nil {
			if err := c.RegisterFlagCompletionFunc(f.Name, a.completion(kind, true)); err != nil {
				panic("bug: " + err.Error())
			}
		}
	})
}

// completion finds the names of a kind that begin with what was typed: short, as commands take them, unless that is the beginning of a full
// name. Without many, only the first argument is one. A server that does not answer has none: there is no place for an error.
func (a *app) completion(kind string, many bool) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) (found []string, _ cobra.ShellCompDirective) {
		if len(args) > 0 && !many {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(c.Context(), completionTimeout)
		defer cancel()
		_ = a.with(ctx, func(ctx context.Context, server *client.Connection) error {
			return eachPage(ctx, server, kind, func(page []named) error {
				for _, r := range page {
					name := r.GetName()
					if !strings.HasPrefix(typed, "projects/") {
						name = name[strings.LastIndexByte(name, '/')+1:]
					}
					if strings.HasPrefix(name, typed) {
						found = append(found, name)
					}
				}
				return nil
			})
		})
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}
