package fanout

import (
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
