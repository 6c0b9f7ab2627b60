package mongo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// Codes of MongoDB's errors (error_codes.yml of the server).
const (
	codeUnauthorized      = 13
	codeAuthFailed        = 18
	codeNamespaceNotFound = 26
	codeCommandNotFound   = 59
	codeNotSupported      = 115
	codeNotImplemented    = 238
	codeAtlas             = 8000 // among others: wrong password, space quota exceeded
	codeOutOfDiskSpace    = 14031
	codeUnknownGroup      = 15952
)

// fault says what an error of the driver means to a caller. Nearly every one is
// ErrUnavailable: whether a server is down, slow, electing or misconfigured,
// the same call may succeed later, and an operator is told why it does not.
func (s *Store) fault(ctx context.Context, err error) error {
	switch {
	case err == nil, errors.Is(err, chat.ErrUnavailable), errors.Is(err, chat.ErrNotFound):
		return err
	case errors.As(err, new(refusal)):
		return fmt.Errorf("%s: database %s: %w: %w", s.hosts, s.database, chat.ErrUnavailable, err)
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("%s: %w: %w", s.hosts, chat.ErrUnavailable, ctx.Err())
	}
	return fmt.Errorf("%s: %w: %w", s.hosts, chat.ErrUnavailable, plain{err})
}

// readFault is fault of a call that changes nothing: of one that ended with its
// caller's context there is nothing more to say.
func (s *Store) readFault(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("read: %w", ctx.Err())
	}
	if err = s.fault(ctx, err); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return nil
}

// plain shows an error of the driver on one line and without what a document
// holds.
type plain struct{ error }

func (p plain) Unwrap() error { return p.error }

func (p plain) Error() string {
	switch {
	case refused(p.error):
		return "the server refuses the user or the password: check both, and authSource"
	case hasCode(p.error, codeUnauthorized):
		return "the user may not do this there: it needs the role readWrite on the database"
	case driver.IsDuplicateKeyError(p.error):
		return "duplicate key" // the server's text quotes the document
	}
	said := strings.Join(strings.Fields(p.error.Error()), " ")
	if _, topology, found := strings.Cut(said, ", current topology: "); found {
		return unreachable(topology)
	}
	return said
}

// unreachable says why no server could be selected, from what the driver knows
// of the topology: what it heard last of a server, if anything.
func unreachable(topology string) string {
	_, heard, found := strings.Cut(topology, "Last error: ")
	heard, _, _ = strings.Cut(heard, " }")
	switch {
	case found:
		return "no server that can be written is reachable (" + heard + ")"
	case strings.Contains(topology, "ReplicaSetNoPrimary") && strings.Contains(topology, "Servers: []"):
		return "no server is a member of the replica set that the connection string names: check replicaSet"
	case strings.Contains(topology, "ReplicaSetNoPrimary"):
		return "the replica set has no primary at the moment"
	default:
		return "no server that can be written was found in time"
	}
}

// refused reports whether the server did not take who we are. While a
// connection is made the driver wraps that in errors of its own.
func refused(err error) bool {
	return hasCode(err, codeAuthFailed) || strings.Contains(err.Error(), "AuthenticationFailed") || strings.Contains(err.Error(), "unable to authenticate")
}

func hasCode(err error, codes ...int) bool {
	var server driver.ServerError
	if !errors.As(err, &server) {
		return false
	}
	for _, c := range codes {
		if server.HasErrorCode(c) {
			return true
		}
	}
	return false
}

// full reports whether the server has no space left.
func full(err error) bool {
	return hasCode(err, codeOutOfDiskSpace) ||
		hasCode(err, codeAtlas) && strings.Contains(err.Error(), "space quota")
}
