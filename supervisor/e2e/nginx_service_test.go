package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/ws"
)

// An operator's way to TLS, as the README has it, with the distribution's own unit:
// first without, then the proof for the certificate, then with, while
// somebody is connected; and a stop that does not wait for them.
func TestNginxUnderSystemd(t *testing.T) {
	findNginx(t)
	s := startService(t)
	s.bringNginx()
	s.follow("sudo install -D -m 644 -t /etc/nginx/snippets")
	c := s.browser(nil)
	if page := ask(t, c, "GET", "http://chat.example.org/", ""); page.StatusCode != http.StatusOK {
		t.Errorf("the page without TLS: %s", page.Status)
	}
	s.Write("/var/www/simpletalk/.well-known/acme-challenge/token", "proof", 0o644)
	if got := ask(t, c, "GET", "http://chat.example.org/.well-known/acme-challenge/token", ""); got.body != "proof" {
		t.Errorf("the proof for the certificate: %s: %s", got.Status, got.body)
	}
	socket := s.talk(c)

	cert, key := certificate(t, "chat.example.org")
	s.Write("/etc/letsencrypt/live/chat.example.org/fullchain.pem", cert, 0o644)
	s.Write("/etc/letsencrypt/live/chat.example.org/privkey.pem", key, 0o600)
	s.follow("sudo certbot certonly")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cert))
	secure := s.browser(roots)
	s.eventually("the page comes over TLS", func() bool {
		got, err := whole(secure.Get("https://chat.example.org/"))
		return err == nil && got.StatusCode == http.StatusOK
	})
	s.Must("systemctl", "reload", "simpletalk")
	say(t, socket, "still-here")

	began := time.Now()
	s.Must("systemctl", "stop", "nginx")
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("nginx took %s to stop", took)
	}
	s.mustHealth()
}

// bringNginx puts the files of ../../nginx into the home of root.
func (s *service) bringNginx() {
	s.t.Helper()
	from := filepath.Join("..", "..", "nginx")
	files, err := filepath.Glob(filepath.Join(from, "*.conf"))
	if err != nil {
		s.t.Fatal(err)
	}
	snippets, err := filepath.Glob(filepath.Join(from, "snippets", "*.conf"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, path := range append(files, snippets...) {
		text, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		s.Write("/root/nginx"+strings.TrimPrefix(path, from), string(text), 0o644)
	}
	s.Must("mkdir", "-p", "/var/lib/nginx", "/var/log/nginx") // the package has made these
}

// follow does what a block of the README says, which begins with a line. certbot
// has nobody to ask here.
func (s *service) follow(begin string) {
	s.t.Helper()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "```sh\n"+begin)
	if !found {
		s.t.Fatalf("no block of the README begins with %q", begin)
	}
	block, _, _ := strings.Cut(rest, "```")
	commands := strings.NewReplacer("sudo ", "", "YOUR.NAME", "chat.example.org", "certbot ", ": certbot ").Replace(begin + block)
	s.Must("sh", "-exc", "cd /root\n"+commands)
}

// browser is a client that finds every name at the box.
func (s *service) browser(roots *x509.CertPool) *http.Client {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return s.Network.Dial(ctx, network, "127.0.0.1:"+port)
		},
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// talk opens a WebSocket without TLS, which stays open until the test ends.
func (s *service) talk(c *http.Client) *ws.Client {
	s.t.Helper()
	session := ask(s.t, c, "POST", "http://chat.example.org/api/session", `{"name":"Ada"}`).Cookies()[0]
	socket, err := openSocket(s.t.Context(), c, "http://chat.example.org", session)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { socket.CloseNow() })
	hello(s.t, socket)
	say(s.t, socket, "here")
	return socket
}
