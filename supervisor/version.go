//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are stamped in by the Makefile's -ldflags.
var version, commit string

// stamped is what this executable is.
type stamped struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
}

// build returns what was stamped in, else what the go command knows.
func build() stamped {
	s := stamped{Version: version, Commit: commit}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = new(debug.BuildInfo)
	}
	if s.Version == "" {
		s.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		if s.Commit == "" && setting.Key == "vcs.revision" {
			s.Commit = setting.Value
		}
	}
	if s.Version == "" {
		s.Version = "unknown"
	}
	if s.Commit == "" {
		s.Commit = "unknown"
	}
	return s
}

func newVersion() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print which build this is",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(build())
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "supervisor %s (%s)\n", build().Version, build().Commit)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
