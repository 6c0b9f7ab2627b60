package load

import (
	"cmp"
	"context"
	"time"
)

// schedule is when messages are due: the k-th of a chatter at
// (its number + k × chatters) ÷ rate.
type schedule struct {
	chatters int
	rate     float64 // messages a second, of all
}

func (s schedule) due(chatter, k int) time.Duration {
	return time.Duration(float64(chatter+k*s.chatters) / s.rate * float64(time.Second))
}

// roomsOf returns the rooms of a client: one, or for a chatter several when
// there are more rooms than chatters.
func (s schedule) roomsOf(client, rooms int) (all []int) {
	if client >= s.chatters || s.chatters >= rooms {
		return []int{client % rooms}
	}
	for r := client; r < rooms; r += s.chatters {
		all = append(all, r)
	}
	return all
}

// authors returns the chatters of each room.
func (s schedule) authors(rooms int) [][]int {
	all := make([][]int, rooms)
	for c := range s.chatters {
		for _, r := range s.roomsOf(c, rooms) {
			all[r] = append(all[r], c)
		}
	}
	return all
}

// pause returns the longest time between two messages to a room of these
// authors.
func (s schedule) pause(authors []int, rooms int) time.Duration {
	if len(authors) == 1 {
		return s.due(0, 1) * time.Duration(len(s.roomsOf(authors[0], rooms)))
	}
	longest := s.due(authors[0], 1) - s.due(authors[len(authors)-1], 0)
	for i, a := range authors[1:] {
		longest = max(longest, s.due(a, 0)-s.due(authors[i], 0))
	}
	return longest
}

// talk posts by the schedule until quiet is closed, and repeats what the server
// refused for the moment until ctx ends.
func (c *client) talk(ctx context.Context, begin time.Duration, quiet <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for k := 0; ; {
		next := time.Hour
		if quiet != nil {
			due := begin + c.run.schedule.due(c.id, k)
			if next = due - c.run.clock(); next <= 0 {
				c.post(k, due)
				k++
				continue
			}
		}
		timer.Reset(min(next, c.repeat()))
		select {
		case <-timer.C:
		case <-c.nudge:
		case <-quiet:
			quiet = nil
		case <-ctx.Done():
			return
		}
	}
}

// post says the k-th thing, in each of the rooms in turn; without a link, as
// soon as there is one.
func (c *client) post(k int, due time.Duration) {
	c.mu.Lock()
	s := c.seats[k%len(c.seats)]
	_, ledger := s.room.ledgerOf(c.id)
	m := message{c.id, ledger.write(), due.Microseconds()}
	c.outbox = append(c.outbox, post{
		room: s.room, ledger: ledger, number: m.number, nonce: m.nonce(c.run.tag), text: m.text(c.run.tag),
	})
	l := c.link
	if l != nil {
		c.send(l, &c.outbox[len(c.outbox)-1])
		if c.manner == mannerPings {
			l.control = appendFrame(l.control, opPing, true, nil)
		}
	}
	c.mu.Unlock()
	if l != nil {
		c.flush(l)
	}
}

// repeat sends again what was refused for a moment that is over, and returns
// how long the next has to wait.
func (c *client) repeat() time.Duration {
	c.mu.Lock()
	wait, now, l := time.Hour, time.Now(), c.link
	for i := range c.outbox {
		p := &c.outbox[i]
		switch {
		case p.retryAt.IsZero():
		case p.retryAt.After(now):
			wait = min(wait, p.retryAt.Sub(now))
		case l != nil:
			c.send(l, p)
		}
	}
	c.mu.Unlock()
	if l != nil {
		c.flush(l)
	}
	return wait
}

// disturb sends what a client that does not talk sends unasked, until ctx ends.
func (c *client) disturb(ctx context.Context) {
	tick := time.NewTicker(fidget)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.ping()
		case <-ctx.Done():
			return
		}
	}
}

// ping asks for a sign of life in both ways there are.
func (c *client) ping() {
	c.mu.Lock()
	l := c.link
	if l != nil && l.welcome {
		l.control = appendFrame(l.control, opPing, true, []byte("load"))
		l.pinged = cmp.Or(l.pinged, c.run.clock())
		l.lines = append(l.lines, pingLine...)
	}
	c.mu.Unlock()
	if l != nil {
		c.flush(l)
	}
}
