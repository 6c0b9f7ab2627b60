package fdstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/simpletalk/simpletalk/systemd"
)

// What is more than the unit asks for is dropped silently.
func TestTheUnitKeepsAsMuchAsIsStored(t *testing.T) {
	for name, unit := range map[string]string{"service": systemd.Service, "user's service": systemd.UserService} {
		if want := fmt.Sprintf("\nFileDescriptorStoreMax=%d\n", Max); !strings.Contains(unit, want) {
			t.Errorf("the %s has no %q", name, want)
		}
	}
}
