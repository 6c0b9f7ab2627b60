package load

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

const (
	atOnce      = 64                     // clients that connect at the same time
	settlePoll  = 20 * time.Millisecond  // how often it is asked whether all has arrived
	settleQuiet = 200 * time.Millisecond // for what comes once too often
	readRetries = 20                     // attempts to read a page of a log
	readPause   = 250 * time.Millisecond
)

// pingLine asks the server for a sign of life.
var pingLine = wire.AppendLine(nil, wire.Ping{T: wire.KindPing})

// run is one load, from the first client to the report.
type run struct {
	Config
	tag      string // tells this run's rooms, names and messages from others'
	target   *target
	schedule schedule
	began    time.Time
	step     time.Duration // of silences
	rooms    []*room
	clients  []*client
	probers  []*prober
	timeline *timeline
	latency  histogram
	remarks  remarks
	dialing  chan struct{}

	pages   int           // of logs that were asked for
	here    atomic.Int64  // clients that have arrived in their rooms
	allHere chan struct{} // closed when that is every one

	mu       sync.Mutex
	endings  []ending
	hopeless error // a client that cannot ever connect
	give     chan struct{}
}

// ending is a WebSocket that this side did not end.
type ending struct {
	at       time.Duration
	closed   bool          // by a close frame
	underWay time.Duration // since when the client was in mid-message, or never
	resynced time.Duration // when the server last asked to resync, 0: it did not
}

// Run runs a load and reports. When ctx ends, the posting ends early; what was
// posted is checked all the same. A [UsageError] says that it could not begin,
// any other error that it could not be judged.
func Run(ctx context.Context, c Config) (Report, error) {
	if err := c.Validate(); err != nil {
		return Report{}, err
	}
	c = c.withDefaults()
	t, err := newTarget(ctx, c.URL)
	if err != nil {
		return Report{}, err
	}
	r := newRun(c, t)
	if err := r.reach(ctx); err != nil {
		return Report{}, err
	}
	return r.whole(ctx)
}

func newRun(c Config, t *target) *run {
	var tag [4]byte
	rand.Read(tag[:]) // never fails: it ends the process instead
	r := &run{
		Config:   c,
		tag:      hex.EncodeToString(tag[:]),
		target:   t,
		schedule: schedule{c.Chatters, c.Rate},
		began:    time.Now(),
		step:     stepOf(c.For),
		dialing:  make(chan struct{}, atOnce),
		allHere:  make(chan struct{}),
		give:     make(chan struct{}),
	}
	r.timeline = newTimeline(r.began)
	for i, authors := range r.schedule.authors(c.Rooms) {
		r.rooms = append(r.rooms, newRoom(roomName(r.tag, i), authors, r.schedule.pause(authors, c.Rooms)))
	}
	for i := range c.Clients {
		r.clients = append(r.clients, newClient(r, i))
	}
	r.probers = newProbers(r)
	return r
}

// clock is the time of the run.
func (r *run) clock() time.Duration { return time.Since(r.began) }

// reach tells whether there is a site at all.
func (r *run) reach(ctx context.Context) error {
	a, err := r.target.once(ctx, firstProbe, request{method: "GET", path: "/healthz"})
	if err == nil {
		err = a.isOK()
	}
	var h health
	if err == nil && json.Unmarshal(a.body, &h) != nil {
		err = &refusal{status: a.status, body: "something else than its health"}
	}
	if err != nil {
		return unreachable(ctx, r.URL, err)
	}
	return nil
}

// whole runs everything in its order; when it returns nothing does any more.
func (r *run) whole(ctx context.Context) (Report, error) {
	// An interrupt ends the posting only.
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	defer all.Wait()
	defer end()
	for _, c := range r.clients {
		all.Go(func() { c.keep(living) })
	}
	all.Go(func() { r.progress(living) })
	if err := r.gather(ctx); err != nil {
		return Report{}, err
	}
	begin, took := r.converse(ctx, living, &all)
	r.settle(living)
	end()
	all.Wait()
	rep, err := r.report(context.WithoutCancel(ctx), begin)
	rep.Posting = took
	return rep, err
}

// gather waits for every client to be in its rooms.
func (r *run) gather(ctx context.Context) error {
	late := time.NewTimer(r.Arrive)
	defer late.Stop()
	var why error
	select {
	case <-r.allHere:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("interrupted when %d of %d clients were there: nothing was posted", r.here.Load(), r.Clients)
	case <-r.give:
		r.mu.Lock()
		why = r.hopeless
		r.mu.Unlock()
	case <-late.C:
		why = errors.New("too slow")
		if list := r.remarks.list(); len(list) > 0 {
			why = errors.New(list[0])
		}
	}
	return fmt.Errorf("connect %d clients: only %d are there after %v: %w", r.Clients, r.here.Load(), r.clock().Round(time.Millisecond), why)
}

// arrived counts a client that is in its rooms for the first time.
func (r *run) arrived() {
	if r.here.Add(1) == int64(r.Clients) {
		close(r.allHere)
	}
}

// isHopeless tells a refusal that will not change: then the run gives up, if
// the posting has not begun.
func (r *run) isHopeless(err error) bool {
	var status *refusal
	if !errors.As(err, &status) || status.status/100 != 4 || status.status == http.StatusTooManyRequests {
		return false
	}
	select {
	case <-r.allHere:
		return false
	default:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hopeless == nil {
		r.hopeless = err
		close(r.give)
	}
	return true
}

// converse posts and probes for as long as asked, and returns when it began and
// how long it did. What it starts goes on until living ends.
func (r *run) converse(ctx, living context.Context, all *sync.WaitGroup) (begin, took time.Duration) {
	begin = r.clock()
	for _, c := range r.clients {
		c.begin(begin)
	}
	quiet := make(chan struct{})
	for _, c := range r.clients {
		switch {
		case c.id < r.Chatters:
			all.Go(func() { c.talk(living, begin, quiet) })
		case c.manner == mannerFragments, c.manner == mannerPings:
			all.Go(func() { c.disturb(living) })
		}
	}
	for _, p := range r.probers {
		all.Go(func() { p.run(living) })
	}
	sleep(ctx, r.For)
	close(quiet)
	return begin, r.clock() - begin
}

// settle waits until everything acknowledged has arrived everywhere, within
// limits, and then a moment for what comes twice.
func (r *run) settle(ctx context.Context) {
	for end := time.Now().Add(r.Settle); time.Now().Before(end); sleep(ctx, settlePoll) {
		if !slices.ContainsFunc(r.clients, func(c *client) bool { return !c.isSettled() }) {
			break
		}
	}
	sleep(ctx, settleQuiet)
}

// ended notes that a WebSocket ended.
func (r *run) ended(e ending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endings = append(r.endings, e)
}

// readLog reads a room's log over HTTP.
func (r *run) readLog(ctx context.Context, room *room) (*roomLog, error) {
	log := newRoomLog(room, r.tag)
	for after := int64(0); ; {
		page, err := r.readPage(ctx, room.name, after)
		if err != nil {
			return nil, fmt.Errorf("read the log of room %s after %d: %w", room.name, after, err)
		}
		for _, e := range page {
			log.add(e)
			after = max(after, e.Seq)
		}
		if len(page) == 0 {
			return log, nil
		}
	}
}

// readPage reads a page, with patience: a site may be in the middle of a
// deploy.
func (r *run) readPage(ctx context.Context, room string, after int64) ([]wire.Event, error) {
	path := "/api/rooms/" + room + "/events?limit=" + strconv.Itoa(wire.MaxPage) + "&after=" + strconv.FormatInt(after, 10)
	for n := 1; ; n++ {
		r.pages++
		a, err := r.target.once(ctx, firstProbe+probeFrom+keepers+r.pages%probeFrom, request{method: "GET", path: path})
		if err == nil && a.status == http.StatusNotFound {
			return nil, nil // nobody ever said anything there
		}
		if err == nil {
			err = a.isOK()
		}
		var body struct {
			Events []wire.Event `json:"events"`
		}
		if err == nil {
			err = json.Unmarshal(a.body, &body)
		}
		if err == nil {
			return body.Events, nil
		}
		if n == readRetries || !sleep(ctx, readPause) {
			return nil, err
		}
	}
}
