package worker

import (
	"crypto/rand"
	"fmt"
	"net"
	"strings"
)

// notifySocket receives what a plain program says by sd_notify(3).
type notifySocket struct {
	conn *net.UnixConn
	name string // for NOTIFY_SOCKET
}

// listenNotify opens a socket in the abstract namespace: its name has no
// length limit to run into with a deep state directory, leaves no file behind,
// and cannot be guessed.
func listenNotify() (*notifySocket, error) {
	name := "@simpletalk-notify-" + rand.Text()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("open notify socket: %w", err)
	}
	return &notifySocket{conn: conn, name: name}, nil
}

// receive calls ready for every READY=1 until the socket is closed.
func (n *notifySocket) receive(ready func()) {
	buf := make([]byte, 4096)
	for {
		size, err := n.conn.Read(buf)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(buf[:size])) {
			if strings.TrimSpace(line) == "READY=1" {
				ready()
			}
		}
	}
}

func (n *notifySocket) close() { n.conn.Close() }
