package nats

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/nats/natstest"
)

const hidden = "hunter2-is-secret"

func contains(j *journal, text string) bool { return strings.Contains(j.String(), text) }

// A token, a user and a password, also with signs that URLs keep for themselves.
func TestTokenAndPassword(t *testing.T) {
	for name, tt := range map[string]struct{ config, user string }{
		"token":    {"authorization { token: \"" + hidden + "\" }", hidden},
		"password": {"authorization { user: chat, password: \"p@:/%" + hidden + "\" }", "chat:p%40%3A%2F%25" + hidden},
	} {
		t.Run(name, func(t *testing.T) {
			server := natstest.Start(t, tt.config)
			url := "nats://" + tt.user + "@" + server.Addr()
			from, _, _, heard := pair(t, Options{URL: url}, Options{URL: url})
			wantTalk(t, from, heard, "hello")
		})
	}
}

// A credentials file, as operators of NATS give to users.
func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command(natstest.Program(t), "credentials", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	config, err := os.ReadFile(filepath.Join(dir, "operator.conf"))
	if err != nil {
		t.Fatal(err)
	}
	server := natstest.Start(t, string(config))
	o := Options{URL: server.URL(), Credentials: filepath.Join(dir, "user.creds")}
	from, _, _, heard := pair(t, o, o)
	wantTalk(t, from, heard, "hello")

	var log journal
	run(t, Options{URL: server.URL(), Log: log.logger()}, "log", &listener{})
	eventually(t, "who has no credentials is refused", func() bool { return contains(&log, "uthorization") })
}

// Whoever is refused tries again until it is put right, says once why, and never
// shows the secret.
func TestRefused(t *testing.T) {
	server := natstest.Start(t, "authorization { token: other }")
	var log journal
	o := Options{URL: "nats://" + hidden + "@" + server.Addr(), Log: log.logger()}
	from, _, _, heard := pair(t, o, o)
	eventually(t, "the log tells", func() bool { return contains(&log, "uthorization") })
	time.Sleep(3 * time.Second) // several attempts
	if n := strings.Count(log.String(), "uthorization"); n > 4 {
		t.Errorf("%d lines of one trouble:\n%s", n, log.String())
	}
	server.Restart("authorization { token: \"" + hidden + "\" }")
	wantTalk(t, from, heard, "hello")
	if contains(&log, hidden) {
		t.Errorf("the log shows the token:\n%s", log.String())
	}
}

// A user who may not talk on the subject is told of it in the log.
func TestNoPermission(t *testing.T) {
	server := natstest.Start(t, `authorization { users: [ { user: chat, password: x, permissions: { publish: "other", subscribe: "other" } } ] }`)
	var log journal
	run(t, Options{URL: "nats://chat:x@" + server.Addr(), Log: log.logger()}, "log", &listener{})
	eventually(t, "the log tells", func() bool {
		return contains(&log, "nats error") && contains(&log, Subject("log"))
	})
}

// TLS with an authority of one's own, with a certificate of our own where the
// server wants one, and with one that nobody vouches for.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	mine, mineKey := certificate(t, dir, "mine")
	config := "tls { cert_file: \"" + cert + "\", key_file: \"" + key + "\", ca_file: \"" + mine + "\", verify: true }"
	server := natstest.Start(t, config)
	url := "tls://" + server.Addr()
	o := Options{URL: url, CA: cert, Cert: mine, Key: mineKey}
	from, _, _, heard := pair(t, o, o)
	wantTalk(t, from, heard, "hello")

	for name, o := range map[string]Options{
		"unknown authority": {URL: url, Cert: mine, Key: mineKey},
		"no certificate":    {URL: url, CA: cert},
	} {
		var log journal
		o.Log = log.logger()
		l := &listener{}
		run(t, o, "log", l)
		eventually(t, name+" is logged", func() bool { return contains(&log, "nats not reached") })
		if l.reachedTimes() > 0 {
			t.Errorf("%s: connected", name)
		}
	}
}

// certificate makes one for 127.0.0.1, which is its own authority.
func certificate(t testing.TB, dir, name string) (certPath, keyPath string) {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, pair.Public(), pair)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		t.Fatal(err)
	}
	write := func(file, kind string, b []byte) string {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write(name+".pem", "CERTIFICATE", public), write(name+".key", "PRIVATE KEY", private)
}

// TestMistakes: each is found before anything is connected, without the secret.
func TestMistakes(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const good = "nats://127.0.0.1"
	for want, o := range map[string]Options{
		"must be nats://":                 {URL: "http://" + hidden + "@h"},
		"several with commas":             {URL: good + "," + hidden},
		"must be nats://HOST[:PORT] or":   {},
		"names no host":                   {URL: "nats://" + hidden + "@"},
		"has something after":             {URL: "nats://" + hidden + "@h/path"},
		"a number from 1 to 65535":        {URL: "nats://" + hidden + "@h:70000"},
		"are written %40":                 {URL: "nats://" + hidden + "%zz@h"},
		"read credentials":                {URL: good, Credentials: "/no/such"},
		"holds no NATS credentials":       {URL: good, Credentials: bad},
		"read authorities":                {URL: good, CA: "/no/such"},
		"holds no certificate in PEM":     {URL: good, CA: bad},
		"certificate and its key belong":  {URL: good, Cert: bad},
		"read certificate: tls: failed t": {URL: good, Cert: bad, Key: bad},
	} {
		_, err := New(o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", o, err, want)
			continue
		}
		if strings.Contains(err.Error(), hidden) {
			t.Errorf("the secret is shown: %v", err)
		}
	}
	for _, url := range []string{good, "tls://h:4222", "nats://a, nats://t@b:1,tls://u:p%40@[::1]:2"} {
		if err := CheckURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}
