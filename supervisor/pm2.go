//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/pm2"
)

func newImportPM2() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "import-pm2 FILE",
		Short: "Make a configuration of PM2's ecosystem file",
		Long: `import-pm2 reads ecosystem.config.js (by node, which runs it), .json or .cjs and prints
a supervisor.toml that says the same, with a comment for everything that it could not
carry over. It asks no supervisor and starts nothing.`,
		Example: `  supervisor import-pm2 ecosystem.config.js
  supervisor import-pm2 ecosystem.config.js --output supervisor.toml && supervisor check`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			e, err := pm2.Read(c.Context(), args[0])
			if err != nil {
				return usage(err)
			}
			text := e.TOML()
			if output == "" {
				_, err = fmt.Fprint(c.OutOrStdout(), text)
				return err
			}
			return writeNew(output, text)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write to `FILE`, which must not be there, instead of standard output")
	return c
}

// writeNew writes a file that was not there: nothing that was is lost.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if errors.Is(err, fs.ErrExist) {
		return usage(fmt.Errorf("--output %s: it is there already: move it away, or choose another name", path))
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
