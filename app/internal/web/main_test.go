package web

import (
	"os"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

// idleVar makes the test binary a server for TestIdleMemory.
const idleVar = "WEB_TEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(idleVar) == "" {
		leaktest.Main(m)
	}
	os.Exit(m.Run())
}
