package upgrade

import (
	"os"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

// envManner makes this test binary a supervisor; it names the file that says
// what its successors are like.
const envManner = "UPGRADE_TEST_MANNER"

func TestMain(m *testing.M) {
	if file, asked := os.LookupEnv(envManner); asked {
		os.Exit(supervise(file))
	}
	leaktest.Main(m)
}
