package worker

import (
	"os"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

// envBehaviour makes this test binary a worker that behaves as it says.
const envBehaviour = "WORKER_TEST_BEHAVIOUR"

// The test binary is the supervisor, what stands between fork and worker, and
// the worker.
func TestMain(m *testing.M) {
	ExecIfAsked()
	KeepIfAsked()
	if b, asked := os.LookupEnv(envBehaviour); asked {
		behave(b)
		os.Exit(0)
	}
	leaktest.Main(m)
}
