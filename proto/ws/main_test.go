package ws

import (
	"fmt"
	"os"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) {
	if os.Getenv(envOwner) != "" {
		if err := own(); err != nil {
			fmt.Fprintln(os.Stderr, "owner:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaktest.Main(m)
}
