package ws

import (
	"fmt"
	"os"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "example-server" {
		exampleServer()
		return
	}
	if os.Getenv(envOwner) != "" {
		if err := own(); err != nil {
			fmt.Fprintln(os.Stderr, "owner:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaktest.Main(m)
}

// exampleServer is the package's example, so that this test binary can be a
// worker of a real supervisor.
var exampleServer func()
