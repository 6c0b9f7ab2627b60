// Package uitest tests the page: its logic with node's own test runner, and all
// of it in a Chromium that talks to a real server, as people with a mouse, a
// finger or a keyboard do. It needs node 20, Chromium, and for the checks of
// accessibility axe-core: npm ci. ARTIFACTS names a folder for pictures of
// every view.
package uitest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestPageLogic(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("REQUIRE_ALL") == "1" {
			t.Fatal("node is not installed, and REQUIRE_ALL=1")
		}
		t.Skip("node is not installed: the page's logic is not tested")
	}
	files, err := filepath.Glob("*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests found: %v", err)
	}
	out, err := exec.CommandContext(t.Context(), node, append([]string{"--test"}, files...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("node --test: %v\n%s", err, out)
	}
}
