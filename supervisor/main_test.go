//go:build linux

package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/simpletalk/simpletalk/proto/leaktest"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// checked runs the tests and then looks for what they left behind.
type checked struct{ *testing.M }

func (c checked) Run() int { return leaktest.Run(c.M) }

// The test binary is every command of the scripts, under that command's name,
// and what stands between fork and worker.
func TestMain(m *testing.M) {
	worker.ExecIfAsked()
	worker.KeepIfAsked()
	testscript.Main(checked{m}, map[string]func(){
		"supervisor": func() { os.Exit(run()) },
		"app":        app,
		"ask":        ask,
		"sd-notify":  sdNotify,
	})
}
