package supervise

import (
	"os"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

func TestMain(m *testing.M) {
	worker.ExecIfAsked()
	worker.KeepIfAsked()
	if len(os.Args) == 3 && os.Args[0] == echoName {
		echo(os.Args[1], os.Args[2])
		return
	}
	leaktest.Main(m)
}
