package main

import "github.com/posthaste-io/posthaste/internal/text"

// The flags that are more than a word or a number.
type (
	span  = text.Span
	pairs = text.Pairs
)
