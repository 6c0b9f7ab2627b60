package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// The promise of a deploy without handover: two hundred people in twenty rooms
// talk while ten SIGHUPs swap builds and three kill -9 hit the serving worker.
// No request is refused or fails on a reload, and everybody ends with every
// message exactly once and in order.
func TestPeopleTalkOnThroughDeploysAndKills(t *testing.T) {
	talkOn(t, conversation{people: 200, rooms: 20, rate: 200, reloads: 10})
}

// conversation is what goes on while a site is reloaded and, after each third
// time, killed.
type conversation struct {
	people, rooms int
	rate          int // messages a second
	reloads       int
	slow          bool // the store, which on a busy machine may be waited for in vain
}

func talkOn(t *testing.T, c conversation) {
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	s := open(t, builds[0])
	crowd := gather(t, s, c.people, c.rooms)

	prober := &prober{addr: s.addr}
	probing, stopProbing := context.WithCancel(t.Context())
	var probes sync.WaitGroup
	probes.Go(func() { prober.run(probing, 100) })
	crowd.talk(c.rate)

	var kills []span
	before := s.mustHealth()
	for i := range c.reloads {
		commit := []string{"bbbb", "aaaa"}[i%2]
		s.install(builds[(i+1)%2])
		d := s.hangup()
		after := s.mustHealth()
		if d.Verdict != "accepted" || after.Commit != commit || after.Gen <= before.Gen || after.PID == before.PID {
			t.Errorf("reload %d: %+v: %+v after %+v, want commit %s of a new generation", i, d, after, before, commit)
		}
		before = after
		time.Sleep(700 * time.Millisecond) // people talk on the new build for a while
		if i%3 == 2 {
			from := time.Now()
			kill(after.PID)
			kills = append(kills, span{from, time.Now()})
			before = s.recovered(after)
		}
	}
	crowd.hush()
	stopProbing()
	probes.Wait()

	if prober.refused > 0 {
		t.Errorf("%d requests were refused", prober.refused)
	}
	for _, f := range prober.unexplained(kills) {
		t.Errorf("a request failed without a kill: %v", f)
	}
	if !c.slow {
		crowd.checkNobodyRefused()
	}
	crowd.checkLogs()
	t.Logf("kills: %v", kills)
	t.Logf("%d posts, %d requests answered, %d lost with a killed worker, %d reconnects",
		crowd.posted, prober.ok, len(prober.failures), crowd.reconnects())
}

// recovered waits until the successor of a killed worker answers: the same
// build, as another generation.
func (s *site) recovered(killed health) health {
	s.t.Helper()
	var now health
	s.eventually("the killed worker's successor answers", func() bool {
		h, err := s.health()
		now = h
		return err == nil && h.Gen > killed.Gen
	})
	if now.Commit != killed.Commit {
		s.t.Errorf("after a crash of %+v serves %+v: another build", killed, now)
	}
	return now
}

// crowd is many guests who talk.
type crowd struct {
	t        *testing.T
	site     *site
	guests   []*guest
	rooms    []string
	talking  context.CancelFunc
	leave    context.CancelFunc
	talkers  sync.WaitGroup
	guestsWG sync.WaitGroup
	posted   int
	mu       sync.Mutex
}

// gather connects n guests, spread over rooms.
func gather(t *testing.T, s *site, n, rooms int) *crowd {
	t.Helper()
	c := &crowd{t: t, site: s}
	for i := range rooms {
		c.rooms = append(c.rooms, fmt.Sprintf("room-%d", i))
	}
	ctx, leave := context.WithCancel(context.Background())
	c.leave = leave
	t.Cleanup(func() {
		leave()
		c.guestsWG.Wait()
	})
	for i := range n {
		g, err := newGuest(s, fmt.Sprintf("guest %d", i), c.rooms[i%rooms])
		if err != nil {
			t.Fatal(err)
		}
		c.guests = append(c.guests, g)
		c.guestsWG.Go(func() { g.run(ctx) })
	}
	s.eventually("everybody is connected", func() bool {
		for _, g := range c.guests {
			connected := false
			g.note(func() { connected = g.conn != nil && g.epoch != "" })
			if !connected {
				return false
			}
		}
		return true
	})
	return c
}

// talk has everybody post until hush, at rate messages a second in all.
func (c *crowd) talk(rate int) {
	ctx, stop := context.WithCancel(context.Background())
	c.talking = stop
	pause := time.Duration(len(c.guests)) * time.Second / time.Duration(rate)
	for _, g := range c.guests {
		c.talkers.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-time.After(pause/2 + rand.N(pause)):
				}
				g.post(context.Background(), fmt.Sprintf("%s-%d", g.cookie[len(g.cookie)-8:], n))
				c.mu.Lock()
				c.posted++
				c.mu.Unlock()
			}
		})
	}
}

// hush ends the talking and waits until everybody has heard everything.
func (c *crowd) hush() {
	c.t.Helper()
	c.talking()
	c.talkers.Wait()
	c.site.eventually("everybody has heard everything", func() bool {
		for room, head := range c.heads() {
			for _, g := range c.guests {
				if g.room == room && !g.settled(head) {
					return false
				}
			}
		}
		return true
	})
}

// heads returns where each room's log ends.
func (c *crowd) heads() map[string]int64 {
	var list struct {
		Rooms []struct {
			Room string `json:"room"`
			Head int64  `json:"head"`
		} `json:"rooms"`
	}
	body, err := get(c.site.url() + "/api/rooms")
	if err == nil {
		err = json.Unmarshal(body, &list)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	heads := map[string]int64{}
	for _, r := range list.Rooms {
		heads[r.Room] = r.Head
	}
	return heads
}

// log reads the whole log of a room over HTTP.
func (c *crowd) log(room string) []wire.Event {
	c.t.Helper()
	var all []wire.Event
	for {
		body, err := get(fmt.Sprintf("%s/api/rooms/%s/events?after=%d&limit=200", c.site.url(), room, len(all)))
		var page struct {
			Events []wire.Event `json:"events"`
		}
		if err == nil {
			err = json.Unmarshal(body, &page)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		if len(page.Events) == 0 {
			return all
		}
		all = append(all, page.Events...)
	}
}

// checkNobodyRefused fails when somebody was refused a post for a moment.
func (c *crowd) checkNobodyRefused() {
	c.t.Helper()
	for _, nak := range c.naks() {
		c.t.Error(nak)
	}
}

// naks are the refusals of posts that were stored later.
func (c *crowd) naks() (all []string) {
	for _, g := range c.guests {
		g.note(func() { all = append(all, g.naks...) })
	}
	return all
}

// checkLogs: every post is there once, where its acknowledgement said, and
// everybody has the log.
func (c *crowd) checkLogs() {
	c.t.Helper()
	stored := 0
	for _, room := range c.rooms {
		log := c.log(room)
		stored += len(log)
		seqs := map[string]int64{}
		for _, ev := range log {
			if seqs[ev.Nonce] != 0 {
				c.t.Errorf("%s: %s is stored at %d and at %d", room, ev.Nonce, seqs[ev.Nonce], ev.Seq)
			}
			seqs[ev.Nonce] = ev.Seq
		}
		for _, g := range c.guests {
			if g.room == room {
				g.note(func() { c.compare(g, log, seqs) })
			}
		}
	}
	if stored != c.posted {
		c.t.Errorf("%d messages posted, %d stored", c.posted, stored)
	}
}

func (c *crowd) compare(g *guest, log []wire.Event, seqs map[string]int64) {
	for _, f := range g.faults {
		c.t.Error(f)
	}
	if len(g.received) != len(log) {
		c.t.Errorf("%s received %d of %d messages", g.name, len(g.received), len(log))
		return
	}
	for i, ev := range log {
		if !reflect.DeepEqual(g.received[i], ev) {
			c.t.Errorf("%s received %+v, stored is %+v", g.name, g.received[i], ev)
		}
	}
	for nonce, seq := range g.acked {
		if seqs[nonce] != seq {
			c.t.Errorf("%s: %s was acknowledged at %d, stored is %d", g.name, nonce, seq, seqs[nonce])
		}
	}
}

func (c *crowd) reconnects() int {
	n := 0
	for _, g := range c.guests {
		g.note(func() { n += g.connects - 1 })
	}
	return n
}
