package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/ws"
)

// proxy is a real nginx with the files of ../../nginx, in front of a site.
type proxy struct {
	t       testing.TB
	dir     string // its /etc/nginx, /run and /var
	plain   string // host:port of http
	tls     string // host:port of https; "" without
	private string // host:port of what is for this machine alone
	binary  string
	process *exec.Cmd
	output  *output
}

// siteFile is the configuration of a site, of which a machine has one.
type siteFile string

const (
	sitePlain siteFile = "simpletalk-plain.conf"
	siteTLS   siteFile = "simpletalk.conf"
)

// change is one that a test makes in the files: what is replaced, and by what.
type change struct{ from, to string }

// newProxy starts nginx in front of what listens at upstream. It ends with the
// test.
func newProxy(t testing.TB, site siteFile, upstream string, changes ...change) *proxy {
	t.Helper()
	p := prepareProxy(t, site, upstream, changes...)
	p.start(exec.Command(p.binary, p.args()...))
	p.await(func() error {
		probe, err := net.Dial("tcp", p.plain)
		if err == nil {
			probe.Close()
		}
		return err
	})
	return p
}

// prepareProxy is newProxy without the start.
func prepareProxy(t testing.TB, site siteFile, upstream string, changes ...change) *proxy {
	t.Helper()
	p := &proxy{t: t, dir: t.TempDir(), output: new(output), binary: findNginx(t)}
	p.plain, p.private = freeAddress(t), freeAddress(t)
	if site == siteTLS {
		p.tls = freeAddress(t)
		cert, key := certificate(t, "localhost")
		p.put("fullchain.pem", cert)
		p.put("privkey.pem", key)
	}
	p.write(site, append(p.here(upstream), changes...))
	return p
}

func findNginx(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	skip(t, "there is no nginx (Debian: apt-get install nginx-light)")
	return ""
}

// here is what has to differ from an installed machine: ports, paths, the user
// and the name.
func (p *proxy) here(upstream string) []change {
	me, err := user.Current()
	if err != nil {
		p.t.Fatal(err)
	}
	temp := "http {\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("\t%s_temp_path %s/%s;\n", kind, p.dir, kind)
	}
	all := []change{
		{"user nginx;", "user " + me.Username + ";"},
		{"/run/nginx.pid", p.dir + "/nginx.pid"},
		{"/var/log/nginx/", p.dir + "/"},
		{"http {\n", temp},
		{"server 127.0.0.1:3000 ", "server " + upstream + " "},
		{"listen 127.0.0.1:3001;", "listen " + p.private + ";"},
		{"/var/www/simpletalk", p.dir + "/www"},
	}
	all = append(all, listens("80", p.plain)...)
	if p.tls != "" {
		all = append(all, listens("443", p.tls)...)
		all = append(all, change{"/etc/letsencrypt/live/chat.example.org/", p.dir + "/"}, change{"chat.example.org", "localhost"})
	}
	return all
}

// listens are the changes of a port. Where there is no IPv6 nothing listens on it.
func listens(port, addr string) []change {
	six := change{"listen [::]:" + port, "listen [::1]" + addr[strings.LastIndex(addr, ":"):]}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		l.Close()
	} else {
		six.to = "#" + six.from
	}
	return []change{{"listen " + port, "listen " + addr}, six}
}

// write puts the files where they are installed, changed. Each change must be
// one: a test that looks for what is not there any more has to be told.
func (p *proxy) write(site siteFile, changes []change) {
	p.t.Helper()
	from := filepath.Join("..", "..", "nginx")
	snippets, err := filepath.Glob(filepath.Join(from, "snippets", "*.conf"))
	if err != nil {
		p.t.Fatal(err)
	}
	files := map[string]string{
		filepath.Join(from, "nginx.conf"): "nginx.conf",
		filepath.Join(from, string(site)): "conf.d/simpletalk.conf",
	}
	for _, s := range snippets {
		files[s] = "snippets/" + filepath.Base(s)
	}
	used := make([]bool, len(changes))
	for source, target := range files {
		text, err := os.ReadFile(source)
		if err != nil {
			p.t.Fatal(err)
		}
		p.put(target, apply(string(text), changes, used))
	}
	if i := slices.Index(used, false); i >= 0 {
		p.t.Fatalf("nothing in nginx/ says %q", changes[i].from)
	}
}

// apply makes the changes in one text and notes which there were.
func apply(text string, changes []change, used []bool) string {
	for i, c := range changes {
		used[i] = used[i] || strings.Contains(text, c.from)
		text = strings.ReplaceAll(text, c.from, c.to)
	}
	return text
}

// put writes a file below the directory.
func (p *proxy) put(name, content string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// certificate makes one for a name, which is its own authority, and its key.
func certificate(t testing.TB, name string) (cert, key string) {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, pair.Public(), pair)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// url is how browsers reach the site.
func (p *proxy) url() string {
	if p.tls == "" {
		return "http://" + p.plain
	}
	_, port, _ := net.SplitHostPort(p.tls) // it was made by us
	return "https://localhost:" + port
}

// client asks from an address of its own, 127.2.0.n, trusts the certificate and
// follows no redirect.
func (p *proxy) client(n byte) *http.Client {
	transport := &http.Transport{
		DialContext:        dialFrom(n),
		DisableCompression: true,
		TLSClientConfig:    &tls.Config{RootCAs: p.roots()},
		ForceAttemptHTTP2:  true,
	}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func dialFrom(n byte) func(context.Context, string, string) (net.Conn, error) {
	return (&net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 2, 0, n)}}).DialContext
}

// roots has the certificate, if there is one.
func (p *proxy) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	if text, err := os.ReadFile(p.authority()); err == nil {
		pool.AppendCertsFromPEM(text)
	}
	return pool
}

// reply is an answer, whole.
type reply struct {
	*http.Response
	body string
}

// ask makes a request of its own, which must be answered.
func ask(t testing.TB, c *http.Client, method, url, body string, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
		if name == "Host" {
			r.Host = value
		}
	}
	got, err := whole(c.Do(r))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// whole reads an answer to its end.
func whole(resp *http.Response, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp, string(body)}, err
}

// dial opens a WebSocket, as client n does.
func (p *proxy) dial(ctx context.Context, n byte, session *http.Cookie) (*ws.Client, error) {
	return openSocket(ctx, p.client(n), p.url(), session)
}

// openSocket opens a WebSocket to a site, as its page does.
func openSocket(ctx context.Context, c *http.Client, site string, session *http.Cookie) (*ws.Client, error) {
	header := http.Header{"Origin": {site}, "Cookie": {session.Name + "=" + session.Value}}
	socket, _, err := ws.Dial(ctx, site+"/ws", ws.DialOptions{Header: header, HTTP: c})
	return socket, err
}

// authority is the file of the certificate, which there is with TLS only.
func (p *proxy) authority() string { return filepath.Join(p.dir, "fullchain.pem") }

func (p *proxy) args(more ...string) []string {
	return append([]string{"-p", p.dir, "-e", filepath.Join(p.dir, "error.log"), "-c", filepath.Join(p.dir, "nginx.conf"), "-g", "daemon off;"}, more...)
}

// start runs nginx until the test ends.
func (p *proxy) start(c *exec.Cmd) {
	p.t.Helper()
	p.process = c
	c.Stdout, c.Stderr = p.output, p.output
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		c.Process.Signal(syscall.SIGTERM)
		c.Wait()
		if p.t.Failed() {
			p.t.Logf("what nginx says:\n%s", p.log())
		}
	})
}

// await waits until nginx does what is asked of it.
func (p *proxy) await(ask func() error) {
	p.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("waited %s in vain for nginx: %v\n%s", patience, err, p.log())
		}
	}
}

// log is what nginx has said so far.
func (p *proxy) log() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "error.log")) // none: then it said nothing there
	return p.output.String() + string(text)
}

// workers returns the pids of nginx's worker processes, also of those that are
// shutting down.
func (p *proxy) workers() (pids []int) {
	p.t.Helper()
	master := p.process.Process.Pid
	text, err := os.ReadFile(fmt.Sprintf("%s/task/%d/children", procDir(master), master))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			p.t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// reload makes nginx read its files anew, and returns when others serve than
// those that it returns.
func (p *proxy) reload() (before []int) {
	p.t.Helper()
	before = p.workers()
	if err := p.process.Process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
	p.await(func() error {
		fresh := slices.DeleteFunc(p.workers(), func(pid int) bool { return slices.Contains(before, pid) })
		if len(fresh) == 0 {
			return fmt.Errorf("no new worker process beside %v", before)
		}
		return nil
	})
	return before
}

// freeAddress returns a loopback address on which nobody listens at the
// moment.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
