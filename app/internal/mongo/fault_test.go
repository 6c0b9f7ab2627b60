package mongo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
)

func TestPlain(t *testing.T) {
	const selection = "server selection error: context deadline exceeded, current topology: "
	duplicate := driver.BulkWriteException{WriteErrors: []driver.BulkWriteError{{WriteError: driver.WriteError{
		Code: 11000, Message: `E11000 duplicate key error dup key: { text: "what somebody said" }`,
	}}}}
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New(selection + "{ Type: Unknown, Servers: [{ Addr: a:1, Type: Unknown, Last error: dial tcp a:1: connect: connection refused }, { Addr: b:1, Type: Unknown }, ] }"),
			"no server that can be written is reachable (dial tcp a:1: connect: connection refused)"},
		{errors.New(selection + "{ Type: ReplicaSetNoPrimary, Servers: [] }"),
			"no server is a member of the replica set that the connection string names: check replicaSet"},
		{errors.New(selection + "{ Type: ReplicaSetNoPrimary, Servers: [{ Addr: a:1, Type: RSSecondary }, ] }"),
			"the replica set has no primary at the moment"},
		{errors.New(selection + "{ Type: Unknown, Servers: [{ Addr: a:1, Type: Unknown }, ] }"),
			"no server that can be written was found in time"},
		{driver.CommandError{Code: codeUnauthorized, Message: "not authorized on chat to execute command { insert: ... }"},
			"the user may not do this there: it needs the role readWrite on the database"},
		{driver.CommandError{Code: codeAuthFailed, Message: "Authentication failed."},
			"the server refuses the user or the password: check both, and authSource"},
		{duplicate, "duplicate key"},
		{fmt.Errorf("a\n\tb"), "a b"},
	} {
		if got := (plain{c.err}).Error(); got != c.want {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
}

func TestFault(t *testing.T) {
	s := &Store{hosts: "a:1,b:1"}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want []error
	}{
		"nothing":          {t.Context(), nil, nil},
		"of the way":       {t.Context(), errors.New("broken pipe"), []error{chat.ErrUnavailable}},
		"a refusal":        {t.Context(), fmt.Errorf("x: %w", refusal("no log")), []error{chat.ErrUnavailable}},
		"known already":    {t.Context(), fmt.Errorf("x: %w", chat.ErrNotFound), []error{chat.ErrNotFound}},
		"an ended context": {ended, errors.New("connection closed"), []error{chat.ErrUnavailable, context.Canceled}},
	} {
		got := s.fault(c.ctx, c.err)
		for _, want := range c.want {
			if !errors.Is(got, want) {
				t.Errorf("%s: got %v, want it to wrap %v", name, got, want)
			}
		}
		if c.want == nil && got != nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// TestRefusedUser: what an operator is told whose password is wrong, without it.
func TestRefusedUser(t *testing.T) {
	server := mongotest.Start(t)
	_, err := Open(t.Context(), "mongodb://ada:hunter2@"+server.Addr()+"/chat", Options{})
	if err == nil || !strings.Contains(err.Error(), "refuses the user or the password") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	_, err = Open(t.Context(), server.URI("chat")+"?replicaSet=rs0&serverSelectionTimeoutMS=500", Options{})
	if err == nil || !strings.Contains(err.Error(), "check replicaSet") {
		t.Errorf("got %v", err)
	}
}
