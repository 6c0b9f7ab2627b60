package mongo

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
)

// testURIVariable names a MongoDB that may be used for tests: databases whose
// names begin with simpletalk_test_ are made there and dropped.
const testURIVariable = "MONGODB_TEST_URI"

// ferretDB is the name of a test on it.
const ferretDB = "FerretDB"

// each runs a test on FerretDB, and on the server that MONGODB_TEST_URI names.
// fresh returns the URI of a database that does not exist.
func each(t *testing.T, test func(t *testing.T, fresh func() string)) {
	t.Run(ferretDB, func(t *testing.T) {
		server := mongotest.Start(t)
		n := 0
		test(t, func() string { n++; return server.URI(fmt.Sprint("db", n)) })
	})
	uri := os.Getenv(testURIVariable)
	if uri == "" {
		return
	}
	t.Run("MongoDB", func(t *testing.T) {
		test(t, func() string { return throwaway(t, uri) })
	})
}

// throwaway is a database of the server that a URI names, dropped with the test.
func throwaway(t testing.TB, uri string) string {
	t.Helper()
	name := fmt.Sprint("simpletalk_test_", time.Now().UnixNano())
	uri = withDatabase(t, uri, name)
	t.Cleanup(func() {
		s, err := connect(uri, Options{})
		if err != nil {
			t.Error(err)
			return
		}
		defer s.disconnect()
		if err := s.client.Database(name).Drop(context.Background()); err != nil {
			t.Errorf("drop %s: %v", name, err)
		}
	})
	return uri
}

// withDatabase puts another database into a URI.
func withDatabase(t testing.TB, uri, name string) string {
	t.Helper()
	parts, err := splitURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	head, options, hasOptions := strings.Cut(uri, "?")
	at := strings.Index(head, "://") + 3
	if user := strings.LastIndex(head, "@"); user >= 0 {
		at = user + 1
	}
	uri = head[:at] + parts.hosts + "/" + name
	if hasOptions {
		uri += "?" + options
	}
	return uri
}

func openURI(t testing.TB, uri string) *Store {
	t.Helper()
	s, err := Open(t.Context(), uri, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
