package main

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// field ties a flag to the part of a resource that it sets, so that create and update share one table.
type field[Resource any] struct {
	flag  string
	path  string // in an update mask
	apply func(*Resource) error
}

// apply sets the fields whose flags were given and returns their paths, each once.
func apply[Resource any](flags *pflag.FlagSet, fields []field[Resource], r *Resource) (*fieldmaskpb.FieldMask, error) {
	mask := new(fieldmaskpb.FieldMask)
	for _, f := range fields {
		if !flags.Changed(f.flag) {
			continue
		}
		if err := f.apply(r); err != nil {
			return nil, usage("--%s: %v", f.flag, err)
		}
		if !slices.Contains(mask.Paths, f.path) {
			mask.Paths = append(mask.Paths, f.path)
		}
	}
	return mask, nil
}

// clearing is a part of a resource that --clear can unset.
type clearing[Resource any] struct {
	name  string
	path  string
	apply func(*Resource)
}

// unset applies the clearings that were asked for and adds their paths to the mask. It runs before apply, so that one update can
// clear labels and give new ones.
func unset[Resource any](asked []string, known []clearing[Resource], r *Resource) ([]string, error) {
	var paths []string
	for _, name := range asked {
		i := slices.IndexFunc(known, func(c clearing[Resource]) bool { return c.name == name })
		if i < 0 {
			return nil, usage("--clear: %q is unknown; allowed: %s", name, clearable(known))
		}
		known[i].apply(r)
		paths = append(paths, known[i].path)
	}
	return paths, nil
}

func clearable[Resource any](known []clearing[Resource]) string {
	names := make([]string, len(known))
	for i, c := range known {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

// change does what an update command's flags say to a resource and returns the mask of what they touch.
func change[Resource any](flags *pflag.FlagSet, asked []string, known []clearing[Resource], fields []field[Resource], r *Resource) (*fieldmaskpb.FieldMask, error) {
	cleared, err := unset(asked, known, r)
	if err != nil {
		return nil, err
	}
	mask, err := apply(flags, fields, r)
	if err != nil {
		return nil, err
	}
	for _, path := range cleared {
		if !slices.Contains(mask.Paths, path) {
			mask.Paths = append(mask.Paths, path)
		}
	}
	if len(mask.Paths) == 0 {
		return nil, usage("nothing to update: give at least one flag")
	}
	return mask, nil
}
