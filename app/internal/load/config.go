package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"syscall"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Config says what a run does. URL, Clients, Chatters, Rate, Rooms and For must
// be given.
type Config struct {
	URL      string        // scheme://host[:port] of the site
	Clients  int           // WebSockets
	Chatters int           // of them post
	Rate     float64       // messages a second, of all chatters together
	Rooms    int           // that the clients are spread over
	For      time.Duration // how long is posted
	Plain    bool          // no client makes trouble

	Settle   time.Duration // the longest wait for what is still on its way; 0: 15 s
	Arrive   time.Duration // the longest wait for all clients to be there; 0: 30 s and 10 ms each
	Progress io.Writer     // gets a line a second, each over the one before; nil: nobody
	Files    uint64        // how many descriptors there may be; 0: RLIMIT_NOFILE
}

const (
	// spareFiles are the descriptors for everything but clients.
	spareFiles = 32
	// chatterRate is what a connection may post in a second; a server refuses
	// more for the moment, and a run would wait for ever.
	chatterRate = 20
	// maxFor keeps the record of silences small.
	maxFor = 24 * time.Hour
)

func (c Config) withDefaults() Config {
	c.Settle = cmp.Or(c.Settle, 15*time.Second)
	c.Arrive = cmp.Or(c.Arrive, 30*time.Second+time.Duration(c.Clients)*10*time.Millisecond)
	if c.Files == 0 {
		var l syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
			l.Cur = 1024
		}
		c.Files = l.Cur
	}
	return c
}

// UsageError is everything that is wrong with a [Config], each named by the
// flag that sets it.
type UsageError []string

func (e UsageError) Error() string { return strings.Join(e, "; ") }

// Validate tells by a [UsageError] what cannot be run.
func (c Config) Validate() error {
	c = c.withDefaults()
	var wrong UsageError
	check := func(ok bool, format string, args ...any) bool {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
		return ok
	}
	if _, err := parseSite(c.URL); err != nil {
		wrong = append(wrong, err.Error())
	}
	clients := check(c.Clients >= 1, "--clients %d: must be 1 or more", c.Clients) &&
		check(c.Clients <= maxClients, "--clients %d: must be at most %d", c.Clients, maxClients) &&
		check(uint64(c.Clients)+spareFiles <= c.Files, "--clients %d: each needs a descriptor and %d are needed beside, but RLIMIT_NOFILE is %d: raise it (ulimit -n %d) or ask for at most %d clients",
			c.Clients, spareFiles, c.Files, c.Clients+spareFiles, max(0, int64(c.Files)-spareFiles))
	chatters := check(c.Chatters >= 1, "--chatters %d: must be 1 or more", c.Chatters)
	if clients && chatters {
		chatters = check(c.Chatters <= c.Clients, "--chatters %d: must be at most the number of --clients, %d", c.Chatters, c.Clients)
	}
	rooms := check(c.Rooms >= 1, "--rooms %d: must be 1 or more", c.Rooms)
	if rooms && clients {
		rooms = check(c.Rooms <= c.Clients, "--rooms %d: must be at most the number of --clients, %d, so that nobody talks to an empty room", c.Rooms, c.Clients)
	}
	if rooms && chatters {
		check(c.Rooms <= wire.MaxRooms*c.Chatters, "--rooms %d: must be at most %d, which is %d for each of --chatters %d", c.Rooms, wire.MaxRooms*c.Chatters, wire.MaxRooms, c.Chatters)
	}
	rate := check(c.Rate > 0 && !math.IsInf(c.Rate, 0), "--rate %v: must be more than 0 messages a second", c.Rate)
	if rate && chatters {
		check(c.Rate <= chatterRate*float64(c.Chatters), "--rate %v: is more than %d messages a second from each of --chatters %d, which the server takes from nobody: use at least %d chatters or a rate of at most %d",
			c.Rate, chatterRate, c.Chatters, int(math.Ceil(c.Rate/chatterRate)), chatterRate*c.Chatters)
	}
	check(c.For > 0 && c.For <= maxFor, "--for %v: must be more than 0 and at most %v, such as 30s", c.For, maxFor)
	if wrong == nil {
		return nil
	}
	return wrong
}

// unreachable says why the first request to a site failed: the address is most
// likely wrong.
func unreachable(ctx context.Context, site string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("reach %s: %w", site, ctx.Err())
	}
	var status *refusal
	if errors.As(err, &status) {
		return UsageError{fmt.Sprintf("--url %s: GET /healthz is %v: this is not the address of the chat", site, status)}
	}
	return UsageError{fmt.Sprintf("--url %s: nobody answers there (%v): is the site running, and is the port right?", site, innermost(err))}
}
