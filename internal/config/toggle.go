package config

import "fmt"

// toggle is on or off. Its flag alone, without a value, is on.
type toggle struct{ into *bool }

func (v *toggle) set(s string) error {
	switch s {
	case "true":
		*v.into = true
	case "false":
		*v.into = false
	default:
		return fmt.Errorf("%q is neither", s)
	}
	return nil
}

func (v *toggle) accepts() string     { return "true, false" }
func (v *toggle) placeholder() string { return "true|false" }
