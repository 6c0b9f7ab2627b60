package mongo

import (
	"context"
	"encoding/binary"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
)

func TestSplitURI(t *testing.T) {
	for uri, want := range map[string]struct{ hosts, database, wrong string }{
		"mongodb://localhost":                                {"localhost", DefaultDatabase, ""},
		"mongodb://localhost/":                               {"localhost", DefaultDatabase, ""},
		"mongodb://localhost/?replicaSet=rs0":                {"localhost", DefaultDatabase, ""},
		"mongodb://localhost?replicaSet=rs0":                 {"localhost", DefaultDatabase, ""},
		"mongodb://a:1,b:2,[::1]:3/chat?w=1":                 {"a:1,b:2,[::1]:3", "chat", ""},
		"mongodb://u:p%40%2F%3A@a/chat":                      {"a", "chat", ""},
		"mongodb://u@a/chat":                                 {"a", "chat", ""},
		"mongodb+srv://u:p@cluster0.abcde.mongodb.net/?w=@x": {"cluster0.abcde.mongodb.net", DefaultDatabase, ""},
		"mongodb://%2Ftmp%2Fmongodb-27017.sock/chat":         {"%2Ftmp%2Fmongodb-27017.sock", "chat", ""},
		"":                                       {wrong: "must be mongodb://"},
		"localhost:27017":                        {wrong: "must be mongodb://"},
		"postgres://localhost/chat":              {wrong: "must be mongodb://"},
		"mongodb:///chat":                        {wrong: "names no host"},
		"mongodb://u:p@ss@a/chat":                {wrong: "%40"},
		"mongodb://u:p/ss@a/chat":                {wrong: "%2F"},
		"mongodb://u:p:ss@a/chat":                {wrong: "%3A"},
		"mongodb://u:p%ss@a/chat":                {wrong: "%25"},
		"mongodb://a/ch at":                      {wrong: "name of the database"},
		"mongodb://a/" + strings.Repeat("x", 64): {wrong: "63 bytes"},
	} {
		got, err := splitURI(uri)
		switch {
		case want.wrong != "":
			if err == nil || !strings.Contains(err.Error(), want.wrong) {
				t.Errorf("%q: got %v, want %q", uri, err, want.wrong)
			}
		case err != nil || got.hosts != want.hosts || got.database != want.database:
			t.Errorf("%q: got %q, %q, %v; want %q, %q", uri, got.hosts, got.database, err, want.hosts, want.database)
		}
	}
}

func FuzzSplitURI(f *testing.F) {
	f.Add("mongodb://u:secret@a:1,b/chat?w=1&tlsCertificateKeyFilePassword=x")
	f.Fuzz(func(t *testing.T, uri string) {
		got, err := splitURI(uri)
		if err == nil && (got.hosts == "" || got.database == "" || validDatabase(got.database) != nil) {
			t.Errorf("%q was taken as %+v", uri, got)
		}
	})
}

// What a URI says of the pool and the time-outs counts; what it leaves open is
// ours.
func TestSettings(t *testing.T) {
	own, err := parseURI("mongodb://a/chat")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := parseURI("mongodb://a/chat?maxPoolSize=3&timeoutMS=1500&serverSelectionTimeoutMS=700&connectTimeoutMS=800&appName=x")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][4]any{
		"pool":             {*own.client.MaxPoolSize, uint64(poolSize), *theirs.client.MaxPoolSize, uint64(3)},
		"timeout":          {own.client.Timeout.String(), callTimeout.String(), theirs.client.Timeout.String(), "1.5s"},
		"server selection": {own.client.ServerSelectionTimeout.String(), selectTimeout.String(), theirs.client.ServerSelectionTimeout.String(), "700ms"},
		"connect":          {own.client.ConnectTimeout.String(), selectTimeout.String(), theirs.client.ConnectTimeout.String(), "800ms"},
		"name":             {*own.client.AppName, "simpletalk", *theirs.client.AppName, "x"},
	} {
		if c[0] != c[1] || c[2] != c[3] {
			t.Errorf("%s: got %v and %v, want %v and %v", name, c[0], c[2], c[1], c[3])
		}
	}
}

// TestSRV opens a store by a name whose servers the name servers tell.
func TestSRV(t *testing.T) {
	server := mongotest.Start(t)
	_, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	names := serveNames(t, uint16(n))
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", names)
	}}
	s := openURI(t, "mongodb+srv://cluster.chat.test/chat?tls=false")
	defer s.Close()
	if _, err := s.Append(t.Context(), posts("lobby", "n", 2)); err != nil {
		t.Error(err)
	}
	wantDense(t, s, "lobby", 2)

	_, err = Open(t.Context(), "mongodb+srv://u:secret@nowhere.chat.test/chat", Options{})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "nowhere.chat.test") {
		t.Errorf("a name that nobody knows: %v", err)
	}
	t.Log(err)
}

// serveNames is a name server that knows one cluster of one server, at
// 127.0.0.1 and a port. It returns its address.
func serveNames(t *testing.T, port uint16) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	go func() {
		defer close(done)
		for b := make([]byte, 1500); ; {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(nameAnswer(b[:n], port), from)
		}
	}()
	return c.LocalAddr().String()
}

// nameAnswer answers a question (RFC 1035, RFC 2782).
func nameAnswer(question []byte, port uint16) []byte {
	const header, typeA, typeSRV = 12, 1, 33
	var labels []string
	at := header
	for question[at] != 0 {
		n := int(question[at])
		labels = append(labels, string(question[at+1:at+1+n]))
		at += 1 + n
	}
	kind := binary.BigEndian.Uint16(question[at+1:])
	end := at + 5
	name := strings.ToLower(strings.Join(labels, "."))

	var data []byte
	known := true
	switch {
	case name == "_mongodb._tcp.cluster.chat.test" && kind == typeSRV:
		data = binary.BigEndian.AppendUint16([]byte{0, 0, 0, 0}, port) // priority, weight, port
		for _, label := range []string{"node", "chat", "test"} {
			data = append(append(data, byte(len(label))), label...)
		}
		data = append(data, 0)
	case name == "node.chat.test" && kind == typeA:
		data = []byte{127, 0, 0, 1}
	case strings.HasSuffix(name, "cluster.chat.test"), name == "node.chat.test":
	default:
		known = false
	}
	a := append([]byte{}, question[:end]...)
	a[2], a[3] = 0x84, 0 // an authoritative answer
	if !known {
		a[3] = 3 // there is no such name
	}
	binary.BigEndian.PutUint16(a[6:], 0)
	binary.BigEndian.PutUint16(a[8:], 0)
	binary.BigEndian.PutUint16(a[10:], 0)
	if data == nil {
		return a
	}
	binary.BigEndian.PutUint16(a[6:], 1)
	a = append(a, 0xc0, header) // the name of the question
	a = binary.BigEndian.AppendUint16(a, kind)
	a = append(a, 0, 1, 0, 0, 0, 60) // the Internet, for a minute
	a = binary.BigEndian.AppendUint16(a, uint16(len(data)))
	return append(a, data...)
}
