package proto

import (
	"fmt"
	"os"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) {
	if os.Getenv(envRival) != "" {
		a, err := MapArena(3)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Print(fight(a, 2))
		os.Exit(0)
	}
	leaktest.Main(m)
}
