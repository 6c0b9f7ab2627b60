//go:build linux

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/metrics"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
)

func newMetrics(state *string) *cobra.Command {
	return &cobra.Command{
		Use:   "metrics",
		Short: "Print what Prometheus is told",
		Long: `metrics prints how the supervisor and its programs do, as Prometheus reads it. Where
Prometheus shall ask by itself, [metrics] listen says in the configuration.`,
		Example: "  supervisor metrics | grep ^supervisor_",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := asking(c)
			defer cancel()
			return newClient(state).Metrics(ctx, c.OutOrStdout())
		},
	}
}

// openMetrics makes what counts, and what is counted by.
func (d *daemon) openMetrics() *supervise.Meter {
	d.metrics = metrics.New(metrics.Sources{Status: d.Status, Dropped: d.output.Dropped})
	return &supervise.Meter{Paused: d.metrics.Paused, Broken: d.metrics.Broken}
}

// countVerdicts counts the deploys that end from now on, until ctx ends.
func countVerdicts(ctx context.Context, b *supervise.Book, m *metrics.Metrics) {
	counted := map[string]bool{}
	for first := true; ; first = false {
		changed := b.Changed()
		known := map[string]bool{}
		for _, deploy := range b.Deploys() {
			if deploy.Verdict == control.Pending {
				continue
			}
			known[deploy.ID] = true
			if !first && !counted[deploy.ID] {
				m.Ended(deploy)
			}
		}
		counted = known // what the book has forgotten does not come again
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
