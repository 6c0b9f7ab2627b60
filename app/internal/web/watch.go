package web

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

const (
	// watchEvery is how often the store is asked what has changed. It bounds how
	// long a connection outlives its session in another process.
	watchEvery = 250 * time.Millisecond
	// watchLimit is how long that may take.
	watchLimit = 5 * time.Second
	// watchBack is how far back it is asked: as much may the clocks of hosts on
	// one store differ, and a change take until it is stored.
	watchBack = 30 * time.Second
)

// watcher remembers which changes were seen to. It belongs to one goroutine.
type watcher struct {
	server *Server
	done   map[string]chat.Change // by subject
	outage outage
}

// watch looks at connections again when the store tells that what they live by
// has changed, until ctx ends. Looking twice does no harm.
func (s *Server) watch(ctx context.Context) {
	w := watcher{server: s, done: map[string]chat.Change{}}
	every := time.NewTicker(watchEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-s.changed:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		err := w.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.o.Log.Debug("changes not seen", "err", err)
		}
		w.outage.saw(began, err)
		if w.outage.strands(time.Now(), s.o.Hub.Told(), s.o.StrandedAfter) {
			s.sendElsewhere(ctx)
		}
	}
}

// lookNow has the watcher look at once.
func (s *Server) lookNow() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (w *watcher) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchLimit)
	defer cancel()
	since := time.Now().Add(-watchBack)
	if w.server.arrived.Swap(false) {
		clear(w.done) // nobody has looked at those yet
	}
	changes, err := w.server.o.Store.Changes(ctx, since)
	if err != nil {
		return err
	}
	for subject, c := range w.done {
		if c.At.Before(since) {
			delete(w.done, subject)
		}
	}
	for _, c := range changes {
		if w.done[c.Subject] == c {
			continue
		}
		if err := w.server.seeTo(ctx, c.Subject); err != nil {
			return err // it is tried again
		}
		w.done[c.Subject] = c
	}
	return nil
}

// seeTo does what a change asks for.
func (s *Server) seeTo(ctx context.Context, subject string) error {
	if room, ok := strings.CutPrefix(subject, chat.RoomSubject("")); ok {
		s.o.Hub.Ring(room)
		return nil
	}
	user, ok := strings.CutPrefix(subject, chat.UserSubject(""))
	if !ok {
		return nil // of a newer build
	}
	s.checks.Add(1) // before the connections are looked at: see upgrade
	account, err := s.o.Store.Account(ctx, user)
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		return err
	}
	if !account.DeletedAt.IsZero() {
		s.o.Hub.Reread()
	}
	for _, c := range s.snapshot(nil) {
		if c.user.ID != user || !c.ours.Load() {
			continue
		}
		if err := s.check(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// checkSoon is check for one that has only come; what cannot be read now is left
// to the next change.
func (s *Server) checkSoon(c *conn) {
	ctx, cancel := context.WithTimeout(context.Background(), watchLimit)
	defer cancel()
	if err := s.check(ctx, c); err != nil {
		s.o.Log.Debug("session not looked at again", "user", c.user.ID, "err", err)
	}
}

// ending is why a connection ends.
type ending struct {
	code   int
	reason string
}

// check closes a connection that its session does not allow any more, or under
// another name only. An error is the store's.
func (s *Server) check(ctx context.Context, c *conn) error {
	id, err := s.o.Auth.Find(ctx, c.session)
	end, err := c.ending(id, err)
	if err == nil && end.code != 0 {
		c.endAside(end)
	}
	return err
}

// ending decides, by what was found of the session.
func (c *conn) ending(id auth.Identity, err error) (ending, error) {
	switch {
	case errors.Is(err, auth.ErrBanned):
		return ending{wire.CloseBanned, "banned"}, nil
	case errors.Is(err, auth.ErrNoSession):
		return ending{wire.CloseSignedOut, "signed_out"}, nil
	case err != nil:
		return ending{}, err
	case id.Session.Retired, id.Session.User.Name != c.user.Name, id.Admin != c.admin:
		return ending{wire.CloseSessionGone, "the session was renewed"}, nil
	}
	return ending{}, nil
}

// endAside is end in its own time. The first reason counts: what follows from it is
// none of its own.
func (c *conn) endAside(e ending) {
	if c.fate.CompareAndSwap(nil, &e) {
		c.server.aside(func() { c.end(e) })
	}
}

// end closes the connection. One that stands still is waited for: it may move
// away, to a process that looks for itself.
func (c *conn) end(e ending) {
	for {
		switch c.tell(pingLine) {
		case chat.ErrStill:
			if !c.server.pause(drainPoll) {
				return
			}
			continue
		case ws.ErrMoved:
			return
		}
		c.ws.Close(e.code, e.reason)
		return
	}
}
