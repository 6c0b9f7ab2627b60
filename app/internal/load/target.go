package load

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"
)

// dialLimit is how long a connection may take, TLS included.
const dialLimit = 10 * time.Second

// firstProbe is the source number of the first HTTP probe: far from those of
// the clients, which count from 0.
const firstProbe = 252 * 256 * 254

// target is the site and how it is reached.
type target struct {
	origin  string // scheme://host[:port], as a browser says it
	host    string // of the Host header
	address string // host:port to connect to
	spread  bool   // it is on IPv4 loopback: source addresses are free
	tls     *tls.Config
}

// maxClients is how many sources there are for clients.
const maxClients = firstProbe

// parseSite reads the URL of a site.
func parseSite(site string) (*url.URL, error) {
	u, err := url.Parse(site)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("--url %q: must be http://HOST[:PORT] or https://HOST[:PORT], the address of a site without a path", site)
	}
	return u, nil
}

// newTarget finds a site. Its errors are a [UsageError].
func newTarget(ctx context.Context, site string) (*target, error) {
	u, err := parseSite(site)
	if err != nil {
		return nil, UsageError{err.Error()}
	}
	t := &target{origin: u.Scheme + "://" + u.Host, host: u.Host}
	port := cmp.Or(u.Port(), "80")
	if u.Scheme == "https" {
		port = cmp.Or(u.Port(), "443")
		t.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil, unreachable(ctx, site, err)
	}
	t.address = net.JoinHostPort(u.Hostname(), port)
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() && a.IsLoopback() {
			t.address, t.spread = net.JoinHostPort(a.String(), port), true
			break
		}
	}
	return t, nil
}

// source returns the address that the i-th source connects from: one each of
// 127.1.0.1 to 127.254.255.254, so that a limit per address holds nobody back
// who would have an address of his own in life.
func source(i int) netip.Addr {
	const hosts, nets = 254, 256
	return netip.AddrFrom4([4]byte{127, byte(1 + i/(hosts*nets)%254), byte(i / hosts % nets), byte(1 + i%hosts)})
}

// dial connects from the i-th source.
func (t *target) dial(ctx context.Context, i int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	d := net.Dialer{KeepAlive: -1}
	if t.spread {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source(i), 0))
	}
	c, err := d.DialContext(ctx, "tcp", t.address)
	if err != nil || t.tls == nil {
		return c, err
	}
	secured := tls.Client(c, t.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return secured, nil
}
