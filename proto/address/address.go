// Package address is how an operator writes where something listens, and how
// it is opened: the same for the supervisor's sockets and for an app that runs
// alone.
package address

import (
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"unicode"
)

// Address is where a socket listens: a TCP address, or a path.
type Address struct {
	Network string // "tcp" or "unix"
	Host    string // of tcp: a name, an IP address, or "" for all
	Port    int    // of tcp; 0 lets the kernel choose
	Path    string // of unix, absolute
	Mode    fs.FileMode
}

// defaultMode is for owner and group: the proxy in front joins the group.
const defaultMode fs.FileMode = 0o660

// Parse reads HOST:PORT, tcp://HOST:PORT or unix:///PATH?mode=0660.
func Parse(s string) (Address, error) {
	scheme, rest, found := strings.Cut(s, "://")
	switch {
	case !found && strings.HasPrefix(s, "unix:/"):
		return Address{}, notAbsolute(s)
	case !found:
		return parseTCP(s, s)
	case scheme == "tcp":
		return parseTCP(s, rest)
	case scheme == "unix":
		return parseUnix(s, rest)
	default:
		return Address{}, fmt.Errorf("address %q: unknown scheme %q, it must be tcp or unix", s, scheme)
	}
}

func parseTCP(whole, hostPort string) (Address, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return Address{}, fmt.Errorf("address %q: must be HOST:PORT, tcp://HOST:PORT or unix:///PATH?mode=0660", whole)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, fmt.Errorf("address %q: port %q must be a number from 0 to 65535", whole, port)
	}
	if strings.ContainsFunc(host, func(c rune) bool { return c == '/' || unicode.IsSpace(c) || unicode.IsControl(c) }) {
		return Address{}, fmt.Errorf("address %q: host %q must be a name, an IP address or empty", whole, host)
	}
	return Address{Network: "tcp", Host: host, Port: int(n)}, nil
}

// maxPath is the longest path of a Unix socket: sun_path of unix(7), less the
// zero at its end.
const maxPath = 107

func parseUnix(whole, rest string) (Address, error) {
	path, options, given := strings.Cut(rest, "?")
	switch {
	case !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/"):
		return Address{}, notAbsolute(whole)
	case strings.ContainsFunc(path, unicode.IsControl):
		return Address{}, fmt.Errorf("address %q: the path has a control character", whole)
	case len(path) > maxPath:
		return Address{}, fmt.Errorf("address %q: the path has %d bytes, that of a Unix socket at most %d", whole, len(path), maxPath)
	}
	a := Address{Network: "unix", Path: path, Mode: defaultMode}
	if !given {
		return a, nil
	}
	option, value, _ := strings.Cut(options, "=")
	if option != "mode" {
		return Address{}, fmt.Errorf("address %q: unknown option %q, there is only mode", whole, option)
	}
	mode, err := strconv.ParseUint(value, 8, 32)
	if err != nil || mode > 0o777 {
		return Address{}, fmt.Errorf("address %q: mode %q must be an octal number up to 0777", whole, value)
	}
	a.Mode = fs.FileMode(mode)
	return a, nil
}

func notAbsolute(whole string) error {
	return fmt.Errorf("address %q: a Unix socket needs an absolute path: unix:///PATH (three slashes)", whole)
}

// String returns the address as [Parse] reads it.
func (a Address) String() string {
	if a.Network == "unix" {
		return fmt.Sprintf("unix://%s?mode=%#o", a.Path, uint32(a.Mode))
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}

// Same reports whether two sockets cannot listen on both addresses.
func (a Address) Same(b Address) bool {
	if a.Network == "tcp" && a.Port == 0 {
		return false // the kernel chooses
	}
	return a.Network == b.Network && a.Host == b.Host && a.Port == b.Port && a.Path == b.Path
}
