package nats

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	client "github.com/nats-io/nats.go"
)

// Rhythm of a connection.
const (
	dialTimeout   = 2 * time.Second
	reconnectWait = 500 * time.Millisecond // between two attempts at the same server
	reconnectRand = 500 * time.Millisecond // and up to so much more, so that hosts do not come all at once
	pingEvery     = 2 * time.Second        // a partition cuts nothing: only silence tells
	pingsMissed   = 2                      // so many without an answer are a server that is gone
	writeTimeout  = 2 * time.Second        // a server that takes nothing for so long is gone
)

// What waits on its way, at most.
const (
	queueMessages   = 256     // to be published
	pendingMessages = 1024    // to be delivered
	pendingBytes    = 8 << 20 // the same, in bytes
)

// Options of a [Bus]. Only URL must be given.
type Options struct {
	URL         string       // see [CheckURL]
	Credentials string       // path of a file with a user's JWT and seed; read at every connect
	CA          string       // path of the authorities' certificates in PEM; "": the system's
	Cert, Key   string       // paths of a certificate of our own and its key, in PEM; read at every connect
	Log         *slog.Logger // nil: nothing is logged
}

// check reports every mistake that can be found without a server.
func (o Options) check() error {
	err := CheckURL(o.URL)
	if o.Credentials != "" {
		err = errors.Join(err, checkCredentials(o.Credentials))
	}
	if o.CA != "" {
		err = errors.Join(err, checkCA(o.CA))
	}
	switch {
	case (o.Cert == "") != (o.Key == ""):
		err = errors.Join(err, errors.New("a certificate and its key belong together: give both or none"))
	case o.Cert != "":
		if _, bad := tls.LoadX509KeyPair(o.Cert, o.Key); bad != nil {
			err = errors.Join(err, fmt.Errorf("read certificate: %w", bad))
		}
	}
	return err
}

func checkCredentials(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	for _, part := range []string{"BEGIN NATS USER JWT", "BEGIN USER NKEY SEED"} {
		if !bytes.Contains(text, []byte(part)) {
			return fmt.Errorf("%s holds no NATS credentials: %q is missing", path, part)
		}
	}
	return nil
}

func checkCA(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read authorities: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return nil
}

// client returns what the library is told beside the URL and the callbacks.
func (o Options) client() []client.Option {
	all := []client.Option{
		client.Name("simpletalk"),
		client.NoEcho(),
		client.RetryOnFailedConnect(true),
		client.MaxReconnects(-1),
		client.IgnoreAuthErrorAbort(),
		client.ReconnectBufSize(-1),
		client.ReconnectWait(reconnectWait),
		client.ReconnectJitter(reconnectRand, reconnectRand),
		client.PingInterval(pingEvery),
		client.MaxPingsOutstanding(pingsMissed),
		client.Timeout(dialTimeout),
		client.FlusherTimeout(writeTimeout),
		client.ReconnectOnFlusherError(),
	}
	if o.Credentials != "" {
		all = append(all, client.UserCredentials(o.Credentials))
	}
	if o.CA != "" {
		all = append(all, client.RootCAs(o.CA))
	}
	if o.Cert != "" {
		all = append(all, client.ClientCert(o.Cert, o.Key))
	}
	return all
}

func (o Options) withDefaults() Options {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return o
}
