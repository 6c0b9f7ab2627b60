package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// client is the address that a request counts for: an IPv4 address, or the 64
// bits of IPv6 that belong to one customer. It is not valid for a peer on this
// machine that speaks for nobody else: who is there has other means.
type client struct{ prefix netip.Prefix }

// String is the client as it travels to the next process; parseClient reads it.
func (c client) String() string {
	if !c.counts() {
		return ""
	}
	return c.prefix.String()
}

// counts reports whether there is somebody whose requests can be counted.
func (c client) counts() bool { return c.prefix.IsValid() }

func parseClient(s string) client {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return client{}
	}
	return client{p}
}

func clientOf(a netip.Addr) client {
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return client{}
	}
	return client{p}
}

// client returns whom a request is from. Of forwarded addresses each is believed
// as long as it was a trusted proxy that wrote it: from the last on, the first
// that is no such proxy itself.
func (s *Server) client(r *http.Request) client {
	if !s.isTrusted(r.RemoteAddr) {
		return clientOf(peerOf(r.RemoteAddr))
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return client{}
		}
		if !s.trusts(a) {
			return clientOf(a)
		}
	}
	return client{}
}

// peerOf returns the address of a peer, the zero one if it has none.
func peerOf(remote string) netip.Addr {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// trusts reports whether an address is of a proxy of ours.
func (s *Server) trusts(a netip.Addr) bool {
	for _, p := range s.o.Trusted {
		if p.Contains(a.Unmap().WithZone("")) {
			return true
		}
	}
	return false
}
