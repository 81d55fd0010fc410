// Package text is how people read and write what commands deal with: time spans and times, pairs, resources.
package text
