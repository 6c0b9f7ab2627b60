// Package uitest runs the tests of the page's logic with node's own test
// runner. They need node 20 or later and nothing else.
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
