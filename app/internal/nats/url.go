package nats

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// errURL is an address that is none of NATS.
var errURL = errors.New("must be nats://HOST[:PORT] or tls://HOST[:PORT], several with commas between them, each with TOKEN@ or USER:PASSWORD@ before HOST where the server wants it")

// CheckURL tells what is wrong with a list of servers, without any part of it
// that is secret. It looks nothing up.
func CheckURL(list string) error {
	for server := range strings.SplitSeq(list, ",") {
		if err := checkServer(strings.TrimSpace(server)); err != nil {
			return err
		}
	}
	return nil
}

// HasSecret reports whether a list of servers holds a password or token.
func HasSecret(list string) bool { return strings.Contains(list, "@") }

func checkServer(server string) error {
	if !strings.HasPrefix(server, "nats://") && !strings.HasPrefix(server, "tls://") {
		return errURL
	}
	u, err := url.Parse(server)
	if err != nil { // it repeats what it could not read
		return fmt.Errorf("cannot be read; in a password or token '@', ':', '/' and '%%' are written %%40, %%3A, %%2F and %%25: %w", errURL)
	}
	switch port, bad := strconv.ParseUint(u.Port(), 10, 16); {
	case u.Hostname() == "":
		return fmt.Errorf("names no host: %w", errURL)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("has something after the host: %w", errURL)
	case u.Port() != "" && (bad != nil || port == 0):
		return errors.New("the port must be a number from 1 to 65535")
	}
	return nil
}

// secrets returns the passwords and tokens of a list that CheckURL found right,
// as written and as meant.
func secrets(list string) (all []string) {
	for server := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.User == nil {
			continue
		}
		password, has := u.User.Password()
		if !has {
			password = u.User.Username() // a token stands alone
		}
		_, written, _ := strings.Cut(server, "://")
		written = written[:strings.LastIndex(written, "@")]
		if has {
			_, written, _ = strings.Cut(written, ":")
		}
		all = append(all, written, password)
	}
	return all
}

// clean returns what an error says in one line, without the secrets of a list.
func clean(err error, list string) string {
	said := strings.TrimPrefix(strings.Join(strings.Fields(err.Error()), " "), "nats: ")
	for _, s := range secrets(list) {
		if s != "" {
			said = strings.ReplaceAll(said, s, "…")
		}
	}
	return said
}
