package cgroup

import (
	"os"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

// envPart makes this test binary a process of a control group.
const envPart = "CGROUP_TEST_PART"

func TestMain(m *testing.M) {
	switch os.Getenv(envPart) {
	case "":
		leaktest.Main(m)
	case "founder":
		found()
	case "member":
		os.Stdin.Read(make([]byte, 1)) // lives until its founder is done
	}
}
