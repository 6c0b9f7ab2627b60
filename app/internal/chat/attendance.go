package chat

import (
	"slices"
	"time"
)

// attendance is who is in a room: the connections of this process, and what
// the other workers told. One user counts once, however many connections there
// are. Somebody who has gone is missed only after a grace, so that a client
// that reconnects never flickers. It has no lock and no clock of its own.
type attendance struct {
	grace  time.Duration
	guests map[string]*guest // by user id
	// unsettled: something has happened since the last settle, or will by time
	// alone.
	unsettled bool
}

type guest struct {
	user   User
	conns  int       // connections of this process
	left   time.Time // when the last of them went; zero: never had one
	remote time.Time // when another worker last told of them; zero: never
	told   User      // as last announced; zero: not announced
}

func newAttendance(grace time.Duration) *attendance {
	return &attendance{grace: grace, guests: map[string]*guest{}}
}

// enter counts one more connection of u.
func (a *attendance) enter(u User) {
	g := a.guest(u)
	g.conns++
	g.user = u
}

// tell notes that another worker has u at now.
func (a *attendance) tell(u User, now time.Time) {
	g := a.guest(u)
	g.remote = now
	if g.conns == 0 {
		g.user = u
	}
}

func (a *attendance) guest(u User) *guest {
	a.unsettled = true
	g := a.guests[u.ID]
	if g == nil {
		g = &guest{user: u}
		a.guests[u.ID] = g
	}
	return g
}

// exit counts one connection of a user less.
func (a *attendance) exit(id string, now time.Time) {
	a.unsettled = true
	if g := a.guests[id]; g != nil && g.conns > 0 {
		g.conns--
		g.left = now
	}
}

// dismiss is exit of a user who said that they leave: without a grace.
func (a *attendance) dismiss(id string, now time.Time) {
	a.exit(id, now.Add(-a.grace))
}

// here reports whether the guest is in the room at now.
func (a *attendance) here(g *guest, now time.Time) bool {
	return g.conns > 0 || a.within(g.left, now) || a.within(g.remote, now)
}

func (a *attendance) within(since, now time.Time) bool {
	return !since.IsZero() && now.Sub(since) < a.grace
}

// settle returns what has changed since the last settle, and forgets who is
// gone. A user under a new name joins again.
func (a *attendance) settle(now time.Time) (join []User, left []string) {
	if !a.unsettled {
		return nil, nil
	}
	a.unsettled = false
	for id, g := range a.guests {
		switch {
		case !a.here(g, now):
			delete(a.guests, id)
			if g.told != (User{}) {
				left = append(left, id)
			}
			continue
		case g.told != g.user:
			g.told = g.user
			join = append(join, g.user)
		}
		a.unsettled = a.unsettled || g.conns == 0 // time will tell
	}
	slices.SortFunc(join, byName)
	slices.Sort(left)
	return join, left
}

// users returns everybody announced, by name.
func (a *attendance) users() []User {
	all := make([]User, 0, len(a.guests))
	for _, g := range a.guests {
		if g.told != (User{}) {
			all = append(all, g.told)
		}
	}
	slices.SortFunc(all, byName)
	return all
}

// local returns the users with a connection of this process.
func (a *attendance) local() []User {
	var all []User
	for _, g := range a.guests {
		if g.conns > 0 {
			all = append(all, g.user)
		}
	}
	return all
}

// isLocal reports whether a user has a connection of this process.
func (a *attendance) isLocal(u User) bool {
	g := a.guests[u.ID]
	return g != nil && g.conns > 0
}
