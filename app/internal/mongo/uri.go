package mongo

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// DefaultDatabase is the database of a URI that names none.
const DefaultDatabase = "simpletalk"

// What a URI does not say itself.
const (
	poolSize      = 20              // connections to a server: one appends, the others read
	selectTimeout = 3 * time.Second // how long an operation waits for a primary
	callTimeout   = 5 * time.Second // of an operation whose context has no end of its own
)

// maxDatabaseName is MongoDB's limit of a database's name, in bytes.
const maxDatabaseName = 63

// errScheme is a URI that is none of MongoDB's.
var errScheme = errors.New("must be mongodb://HOST[,HOST…]/DATABASE or mongodb+srv://HOST/DATABASE")

// connection is what a URI says.
type connection struct {
	client   *options.ClientOptions
	database string
	hosts    string // as an error may show them
}

// CheckURI tells what is wrong with a connection string, without any part of
// it that is secret. It looks nothing up.
func CheckURI(uri string) error {
	_, err := splitURI(uri)
	return err
}

// parseURI reads a connection string. Whatever it says, writes wait for a
// majority's journals, and reads come from the primary and show what a majority
// has: the promises of the chat do not depend on how it is deployed. For
// mongodb+srv it asks the name servers.
func parseURI(uri string) (connection, error) {
	parts, err := splitURI(uri)
	if err != nil {
		return connection{}, err
	}
	c := options.Client().
		SetAppName("simpletalk").
		SetMaxPoolSize(poolSize).
		SetServerSelectionTimeout(selectTimeout).
		SetConnectTimeout(selectTimeout).
		SetTimeout(callTimeout).
		ApplyURI(uri)
	journal := true
	c.SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journal}).
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary())
	if err := c.Validate(); err != nil {
		return connection{}, parts.blame(err)
	}
	return connection{client: c, database: parts.database, hosts: parts.hosts}, nil
}

// uriParts are those of a URI that are looked at here; the driver knows the
// rest.
type uriParts struct {
	hosts    string
	database string
	secrets  []string // what no error may show
}

// splitURI finds the parts by the grammar of the connection string: a host list
// may hold several hosts, so that net/url cannot read it.
func splitURI(uri string) (uriParts, error) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || scheme != "mongodb" && scheme != "mongodb+srv" {
		return uriParts{}, errScheme
	}
	rest, query, _ := strings.Cut(rest, "?")
	var p uriParts
	user, after, ok := strings.Cut(rest, "@")
	if ok {
		if strings.Contains(after, "@") || strings.Contains(user, "/") {
			return uriParts{}, errors.New("a '@', ':' or '/' in the user name or password must be written as %40, %3A or %2F")
		}
		rest = after
	}
	if err := p.hide(user, query, ok); err != nil {
		return uriParts{}, err
	}
	p.hosts, p.database, _ = strings.Cut(rest, "/")
	switch {
	case p.hosts == "":
		return uriParts{}, fmt.Errorf("names no host: %w", errScheme)
	case p.database == "":
		p.database = DefaultDatabase
	}
	return p, validDatabase(p.database)
}

// hide remembers the secrets: the password, as written and as meant, and what
// the options say of passwords and tokens.
func (p *uriParts) hide(user, query string, hasUser bool) error {
	if hasUser {
		name, password, _ := strings.Cut(user, ":")
		_, badName := url.PathUnescape(name)
		meant, badPassword := url.PathUnescape(password)
		if badName != nil || badPassword != nil || strings.Contains(password, ":") {
			return errors.New("a '%' or ':' in the user name or password must be written as %25 or %3A")
		}
		p.secrets = append(p.secrets, password, meant)
	}
	for option := range strings.FieldsFuncSeq(query, func(c rune) bool { return c == '&' || c == ';' }) {
		name, value, _ := strings.Cut(option, "=")
		if name = strings.ToLower(name); strings.Contains(name, "password") || strings.Contains(name, "properties") {
			meant, _ := url.QueryUnescape(value) // "" when it cannot be read: then nobody shows it
			p.secrets = append(p.secrets, value, meant)
		}
	}
	return nil
}

// blame says what the driver has against a URI, without its secrets.
func (p uriParts) blame(err error) error {
	said := strings.Join(strings.Fields(err.Error()), " ")
	for _, prefix := range []string{"error parsing uri: ", "error validating uri: "} {
		said = strings.TrimPrefix(said, prefix)
	}
	for _, s := range p.secrets {
		if s != "" {
			said = strings.ReplaceAll(said, s, "…")
		}
	}
	return errors.New(said)
}

// notInName are what a database's name may not hold on any server.
var notInName = regexp.MustCompile(`[/\\. "$*<>:|?\x00%]`)

func validDatabase(name string) error {
	if len(name) > maxDatabaseName || notInName.MatchString(name) {
		return fmt.Errorf("the name of the database must have at most %d bytes and none of / \\ . \" $ * < > : | ? %% or a space", maxDatabaseName)
	}
	return nil
}
