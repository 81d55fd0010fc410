package main

import (
	"bufio"
	"errors"

	"github.com/spf13/cobra"

	"github.com/posthaste-io/posthaste/internal/engine/disk"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

const dumpLong = `Print what a file of the data directory holds, or all files of one, in words. Nothing is changed, and a damaged file is
printed as far as it can be read, with the place and the kind of the damage; the exit code is then 1.

A broker may be running meanwhile: the end of its newest file then looks cut off.`

func (a *app) dumpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "dump FILE|DIRECTORY", Short: "Print what is stored in files", Long: dumpLong, Args: cobra.ExactArgs(1),
		Example: "  posthaste dump ./posthaste-data\n  posthaste dump ./posthaste-data/seg-0000000000000001.log",
		RunE: func(_ *cobra.Command, args []string) error {
			if a.output == outputJSON {
				return usage("--output: dump prints words only, for people")
			}
			out := bufio.NewWriterSize(a.out, 64<<10)
			return errors.Join(disk.Dump(out, vfs.OS(), args[0], ledger.Describe), out.Flush())
		},
	}
}
