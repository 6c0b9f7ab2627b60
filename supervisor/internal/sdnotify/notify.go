package sdnotify

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// maxStatus bounds the line of a status: systemctl shows no more of it.
const maxStatus = 200

// Present reports whether somebody listens to what is told.
func Present() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

// Ready says that the supervisor is up.
func Ready(status string) error { return tell(daemon.SdNotifyReady, statusLine(status)) }

// Status says in a line how it is.
func Status(status string) error { return tell(statusLine(status)) }

// Stopping says that it is about to end.
func Stopping(status string) error { return tell(daemon.SdNotifyStopping, statusLine(status)) }

// Alive keeps the watchdog away.
func Alive() error { return tell(daemon.SdNotifyWatchdog) }

// Extend asks for so much more time to stop, from now.
func Extend(d time.Duration) error {
	return tell("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10))
}

// tell sends assignments in one datagram.
func tell(assignments ...string) error {
	if _, err := daemon.SdNotify(false, strings.Join(assignments, "\n")); err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	return nil
}

// statusLine is one line, whatever is in the text.
func statusLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxStatus {
		text = string(runes[:maxStatus-1]) + "…"
	}
	return "STATUS=" + text
}

// Watchdog returns how often Alive must be said, 0 for never. $WATCHDOG_PID is
// not asked: after the supervisor has replaced itself it names the one before.
func Watchdog() (time.Duration, error) {
	s := os.Getenv("WATCHDOG_USEC")
	if s == "" || !Present() {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("WATCHDOG_USEC=%q: must be a number of microseconds above 0", s)
	}
	return time.Duration(n) * time.Microsecond, nil
}
