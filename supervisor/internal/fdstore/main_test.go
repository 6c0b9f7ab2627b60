package fdstore

import (
	"os"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

// envPart makes this test binary another process: a writer to be killed, or one
// that was started with descriptors.
const envPart = "FDSTORE_TEST_PART"

func TestMain(m *testing.M) {
	switch os.Getenv(envPart) {
	case "":
		leaktest.Main(m)
	case "writer":
		writeOn(3)
	default:
		inherit(os.Getenv(envPart))
	}
}
