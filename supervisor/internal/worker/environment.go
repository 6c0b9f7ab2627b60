package worker

import (
	"fmt"
	"strings"

	"github.com/simpletalk/simpletalk/proto"
)

// private are the beginnings of variables that speak to the supervisor itself:
// a worker that saw them would talk to systemd or take sockets in its place.
var private = []string{"LISTEN_", "NOTIFY_SOCKET=", "WATCHDOG_", "TABLEFLIP_", "CREDENTIALS_DIRECTORY=", "SIMPLETALK_CONTROL=", "SIMPLETALK_STATE=", "SIMPLETALK_DETACHED=", "SIMPLETALK_STAND_IN="}

// Inherit returns what of the supervisor's environment a worker may see.
func Inherit(environ []string) []string {
	var kept []string
	for _, v := range environ {
		if !isPrivate(v) {
			kept = append(kept, v)
		}
	}
	return kept
}

func isPrivate(variable string) bool {
	for _, p := range private {
		if strings.HasPrefix(variable, p) {
			return true
		}
	}
	return false
}

// contract returns the variables that tell a worker what it was given.
// LISTEN_PID is set in the new process itself.
func contract(sockets []Socket, control int, notify string) []string {
	names := make([]string, len(sockets))
	for i, s := range sockets {
		names[i] = s.Name
	}
	return []string{
		fmt.Sprintf("%s=%d", proto.EnvListenFDs, len(sockets)),
		proto.EnvListenName + "=" + strings.Join(names, ":"),
		fmt.Sprintf("%s=%d", proto.EnvControl, control),
		proto.EnvNotify + "=" + notify,
	}
}
