package load

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// site is a backend with an idle proxy before it.
func site(t *testing.T) *proxy { return front(t, serve(t, chat.NewMemory(), 1)) }

// small is a run of a second and a bit.
func small(url string) Config {
	return Config{
		URL: url, Clients: 12, Chatters: 4, Rate: 60, Rooms: 2, For: 1200 * time.Millisecond,
		Plain: true, Settle: time.Second,
	}
}

func load(t *testing.T, c Config) Report {
	t.Helper()
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Remarks) > 0 {
		t.Logf("remarks: %q", r.Remarks)
	}
	if r.Sent < 10 || r.Acked == 0 || r.Received == 0 || r.HTTPOK == 0 {
		t.Errorf("got %+v, want a run in which something happened", r)
	}
	return r
}

// only fails when any other counter has moved than those a fault moves. They
// are set to zero in r by clear.
func only(t *testing.T, r Report, clear func(*Report)) {
	t.Helper()
	all := r
	if clear != nil {
		if r.Verdict() == "" {
			t.Errorf("got a clean verdict for %+v", r)
		}
		clear(&r)
	}
	if v := r.Verdict(); v != "" || r.Broken != 0 || r.HTTPRetried != 0 || r.Reconnects != 0 {
		t.Errorf("also %s in %+v", v, all)
	}
}

func TestACleanRunIsAllZero(t *testing.T) {
	t.Parallel()
	c := small(site(t).url())
	c.Clients, c.Plain = 30, false // fragments, pings and slow readers
	r := load(t, c)
	only(t, r, nil)
	if r.Sent != r.Acked || r.Received != 15*r.Acked || r.Sent < 60 {
		t.Errorf("got %+v, want 15 copies of each message in two rooms of 15", r)
	}
	if r.LatencyMS.Max <= 0 || r.LatencyMS.P50 > r.LatencyMS.P99 || r.LatencyMS.P99 > r.LatencyMS.Max {
		t.Errorf("got latencies %+v, want some that ascend", r.LatencyMS)
	}
}

// With more rooms than chatters each chatter talks in several.
func TestFewChattersTalkInManyRooms(t *testing.T) {
	t.Parallel()
	c := small(site(t).url())
	c.Chatters, c.Rooms, c.Rate = 2, 5, 30
	r := load(t, c)
	only(t, r, nil)
	if r.Received <= r.Acked {
		t.Errorf("got %+v, want several copies of each message", r)
	}
}

// onEvent does f to the n-th event of the first WebSocket, and nothing else.
func onEvent(n int, f func(s *stream, line []byte) [][]byte) func(*stream, []byte) [][]byte {
	return func(s *stream, line []byte) [][]byte {
		if s.n == 0 && s.events == n && kindOf(line) == wire.KindEvent {
			return f(s, line)
		}
		return [][]byte{line}
	}
}

func TestAFaultMovesItsCounterAndNoOther(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		mangle func() func(*stream, []byte) [][]byte
		clear  func(*Report)
	}{
		{"dropped", func() func(*stream, []byte) [][]byte {
			return onEvent(5, func(*stream, []byte) [][]byte { return nil })
		}, func(r *Report) { r.Lost-- }},
		{"doubled", func() func(*stream, []byte) [][]byte {
			return onEvent(5, func(_ *stream, line []byte) [][]byte { return [][]byte{line, line} })
		}, func(r *Report) { r.Duplicated-- }},
		{"swapped", func() func(*stream, []byte) [][]byte {
			var held []byte
			return func(s *stream, line []byte) [][]byte {
				if s.n == 0 && s.events == 5 && kindOf(line) == wire.KindEvent {
					held = bytes.Clone(line)
					return nil
				}
				if s.n == 0 && held != nil && kindOf(line) == wire.KindEvent {
					both := [][]byte{line, held}
					held = nil
					return both
				}
				return [][]byte{line}
			}
		}, func(r *Report) { r.Reordered-- }},
		{"an acknowledgement dropped", func() func(*stream, []byte) [][]byte {
			var once atomic.Bool
			return func(_ *stream, line []byte) [][]byte {
				if kindOf(line) == wire.KindAck && once.CompareAndSwap(false, true) {
					return nil
				}
				return [][]byte{line}
			}
		}, func(r *Report) { r.Lost-- }},
		{"renumbered", func() func(*stream, []byte) [][]byte {
			// Another message in the place of one: the place comes again, by
			// its author's number, and what stood there is missing.
			var before []byte
			return func(s *stream, line []byte) [][]byte {
				if s.n != 0 || kindOf(line) != wire.KindEvent {
					return [][]byte{line}
				}
				if s.events == 4 {
					before = bytes.Clone(line)
				}
				if s.events == 5 {
					return [][]byte{bytes.Replace(before, []byte(`"seq":4,`), []byte(`"seq":5,`), 1)}
				}
				return [][]byte{line}
			}
		}, func(r *Report) { r.Lost--; r.Duplicated-- }},
		{"closed", func() func(*stream, []byte) [][]byte {
			return onEvent(5, func(s *stream, line []byte) [][]byte { s.client.Close(); return nil })
		}, func(r *Report) { r.Disconnects--; r.Reconnects-- }},
		{"closed in the middle of a frame", func() func(*stream, []byte) [][]byte {
			return onEvent(5, func(s *stream, line []byte) [][]byte {
				f := serverFrame(opText, line)
				s.client.Write(f[:len(f)/2])
				s.client.Close()
				return nil
			})
		}, func(r *Report) { r.Disconnects--; r.Reconnects-- }},
		{"closed with a frame", func() func(*stream, []byte) [][]byte {
			return onEvent(5, func(s *stream, line []byte) [][]byte {
				s.client.Write(serverFrame(opClose, []byte{1012 >> 8, 1012 & 0xff}))
				return nil
			})
		}, func(r *Report) { r.Disconnects--; r.Reconnects-- }},
		{"unreadable", func() func(*stream, []byte) [][]byte {
			return onEvent(5, func(s *stream, line []byte) [][]byte {
				s.client.Write([]byte{0xf1, 0x00}) // reserved bits
				return nil
			})
		}, func(r *Report) { r.Disconnects--; r.Reconnects-- }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := site(t)
			p.mangle = tt.mangle()
			only(t, load(t, small(p.url())), tt.clear)
		})
	}
}

// A delay is no fault, and is measured.
func TestADelayIsMeasured(t *testing.T) {
	t.Parallel()
	const delay = 400 * time.Millisecond
	p := site(t)
	p.mangle = onEvent(5, func(_ *stream, line []byte) [][]byte {
		time.Sleep(delay)
		return [][]byte{line}
	})
	r := load(t, small(p.url()))
	only(t, r, nil)
	if ms := milliseconds(delay); r.LatencyMS.Max < ms/2 || r.LongestSilenceMS < ms/2 || r.LongestSilenceMS > r.LatencyMS.Max+ms {
		t.Errorf("got latency %+v and silence %v, want about %v ms", r.LatencyMS, r.LongestSilenceMS, ms)
	}
}

func TestHTTPFaults(t *testing.T) {
	t.Parallel()
	// The first requests are those that begin a run, and no probes.
	const first = 25
	every := func(n int, how spoiling) func(int, *http.Request) spoiling {
		return func(i int, r *http.Request) spoiling {
			if r.URL.Path == "/healthz" && i > first && i%n == 0 {
				return how
			}
			return spoilNothing
		}
	}
	tests := []struct {
		name  string
		spoil func(int, *http.Request) spoiling
		clear func(*Report)
	}{
		{"a GET cut before its answer is repeated", every(7, spoilUnasked), func(r *Report) { r.HTTPRetried = 0 }},
		{"a GET cut twice has failed", every(1, spoilUnasked), func(r *Report) { r.HTTPRetried, r.HTTPFailed = 0, 0 }},
		{"a GET cut in its answer has failed", every(7, spoilHalf), func(r *Report) { r.HTTPFailed = 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := site(t)
			p.spoil = tt.spoil
			r := load(t, small(p.url()))
			before := r
			tt.clear(&r)
			if before.HTTPFailed == r.HTTPFailed && before.HTTPRetried == r.HTTPRetried {
				t.Errorf("got %+v, want a counter moved", before)
			}
			only(t, r, nil)
		})
	}
}

// The cut POST is the prober's: those of the clients come before the posting
// begins.
func TestACutPOSTHasFailed(t *testing.T) {
	t.Parallel()
	for _, how := range []spoiling{spoilUnasked, spoilHalf} {
		p := site(t)
		var posts atomic.Int64
		c := small(p.url())
		p.spoil = func(_ int, r *http.Request) spoiling {
			if r.Method == "POST" && posts.Add(1) == int64(c.Clients)+1 {
				return how
			}
			return spoilNothing
		}
		r := load(t, c)
		if f := r.HTTPFailures; len(f) != 1 || f[0].Method != "POST" || f[0].Error == "" || time.Since(f[0].At) > time.Minute {
			t.Errorf("got failures %+v, want the POST", f)
		}
		only(t, r, func(r *Report) { r.HTTPFailed-- })
	}
}

func TestARefusedRequestHasFailed(t *testing.T) {
	t.Parallel()
	p := site(t)
	var once atomic.Bool
	p.mangle = func(s *stream, line []byte) [][]byte {
		if s.events == 5 && once.CompareAndSwap(false, true) {
			p.running.Go(func() { p.refuse(200 * time.Millisecond) })
		}
		return [][]byte{line}
	}
	only(t, load(t, small(p.url())), func(r *Report) { r.HTTPFailed = 0 })
}

// A server that drains says bye and closes: everybody notices, nothing is lost.
func TestADrainDisconnectsAndLosesNothing(t *testing.T) {
	t.Parallel()
	store := chat.NewMemory()
	old := serve(t, store, 1)
	next := old.succeed(t, store, 2)
	p := front(t, old)
	c := small(p.url())
	c.For = 2 * time.Second
	var once atomic.Bool
	p.mangle = func(s *stream, line []byte) [][]byte {
		if s.events == 8 && once.CompareAndSwap(false, true) {
			p.running.Go(func() {
				p.turn(next)
				old.server.Drain(context.Background(), wire.WhyDeploy, 300)
			})
		}
		return [][]byte{line}
	}
	r := load(t, c)
	if len(r.Timeline) != 1 || r.Timeline[0].Gen != 2 || r.Timeline[0].PID != 1002 || r.Timeline[0].AtMS <= 0 || r.Timeline[0].SilenceMaxMS < r.Timeline[0].SilenceP99MS {
		t.Errorf("got timeline %+v, want the change to generation 2", r.Timeline)
	}
	only(t, r, func(r *Report) {
		if r.Disconnects != c.Clients || r.Reconnects != int64(c.Clients) {
			t.Errorf("got %d disconnects and %d reconnects, want %d each", r.Disconnects, r.Reconnects, c.Clients)
		}
		r.Disconnects, r.Reconnects = 0, 0
	})
}

// A kill -9: every connection ends without a word, and another pid answers.
// Only who was in mid-message is broken.
func TestAKillBreaksWhoWasInMidMessage(t *testing.T) {
	t.Parallel()
	store := chat.NewMemory()
	old := serve(t, store, 1)
	next := old.succeed(t, store, 2)
	p := front(t, old)
	var once atomic.Bool
	p.mangle = func(s *stream, line []byte) [][]byte {
		if s.n == 11 && s.events == 8 && once.CompareAndSwap(false, true) {
			f := serverFrame(opText, line)
			s.client.Write(f[:len(f)/2])
			p.turn(next)
			time.Sleep(50 * time.Millisecond)
			p.cutAll()
			return nil
		}
		return [][]byte{line}
	}
	c := small(p.url())
	r := load(t, c)
	if r.Broken < 1 || r.Broken+r.Disconnects != c.Clients || r.Disconnects == 0 {
		t.Errorf("got %d broken and %d disconnects of %d, want one of them in mid-message and most not", r.Broken, r.Disconnects, c.Clients)
	}
	only(t, r, func(r *Report) { r.Broken, r.Disconnects, r.Reconnects, r.HTTPRetried, r.HTTPFailed = 0, 0, 0, 0, 0 })
}

// A supervisor hands the connections of a killed worker to the next one: only
// who was in mid-message, whichever way, has to come back.
func TestAKillWithSuccessorBreaksOnlyWhoWasInMidMessage(t *testing.T) {
	t.Parallel()
	const nobody = 300 * time.Millisecond
	store := chat.NewMemory()
	old := serve(t, store, 1)
	next := old.succeed(t, store, 2)
	p := front(t, old)
	var half, fragment atomic.Bool
	p.mangle = func(s *stream, line []byte) [][]byte {
		if s.events == 15 && half.CompareAndSwap(false, true) {
			s.tear()
			f := serverFrame(opText, line)
			s.client.Write(f[:len(f)/2])
			return nil
		}
		return [][]byte{line}
	}
	p.overhear = func(s *stream, frame []byte) {
		if frame[0] == opText && half.Load() && !s.isTorn() && fragment.CompareAndSwap(false, true) {
			s.tear()
			p.running.Go(func() { p.kill(next, nobody) })
		}
	}
	c := small(p.url())
	c.Clients, c.Chatters, c.Plain, c.For = 30, 10, false, 2*time.Second
	r := load(t, c)
	if len(r.Timeline) != 1 || r.Timeline[0].PID != 1002 || r.Timeline[0].SilenceMaxMS < milliseconds(nobody)/2 || r.LongestSilenceMS < milliseconds(nobody)/2 {
		t.Errorf("got timeline %+v and silence %v, want the change to pid 1002 with a silence of about %v", r.Timeline, r.LongestSilenceMS, nobody)
	}
	if r.Broken != 2 || r.Reconnects != 2 || r.Sent != r.Acked {
		t.Errorf("got %+v, want the two broken that were in mid-message", r)
	}
	r.Broken, r.Reconnects = 0, 0
	only(t, r, nil)
}

// Workers that take over without their predecessor's state ask for a resync:
// nobody is disconnected, whatever trouble it makes, and what was on its way is
// there once and in order.
func TestAResyncLosesNothing(t *testing.T) {
	t.Parallel()
	b := serve(t, chat.NewMemory(), 1)
	p := front(t, b)
	var killings sync.WaitGroup
	var once atomic.Bool
	p.mangle = func(s *stream, line []byte) [][]byte {
		if s.events == 5 && once.CompareAndSwap(false, true) {
			killings.Add(1)
			p.running.Go(func() {
				defer killings.Done()
				for range 3 {
					p.kill(b, 20*time.Millisecond)
					time.Sleep(150 * time.Millisecond)
				}
			})
		}
		return [][]byte{line}
	}
	c := small(p.url())
	c.Clients, c.Chatters, c.Plain = 30, 10, false
	r := load(t, c)
	killings.Wait()
	only(t, r, nil)
	if !once.Load() || r.Sent != r.Acked || r.Received != 15*r.Sent {
		t.Errorf("got %+v, want 15 copies of each message", r)
	}
}

// A reset is read up on, and no fault.
func TestAResetIsReadUpOn(t *testing.T) {
	t.Parallel()
	p := site(t)
	p.mangle = func() func(*stream, []byte) [][]byte {
		var from, skipped int
		return func(s *stream, line []byte) [][]byte {
			if s.n != 0 || kindOf(line) != wire.KindEvent || s.events < 5 || s.events > 9 {
				return [][]byte{line}
			}
			e, _ := scanEvent(line)
			if s.events == 5 {
				from = int(e.seq)
			}
			skipped++
			if s.events < 9 {
				return nil
			}
			return [][]byte{wire.AppendLine(nil, wire.Reset{T: wire.KindReset, Room: string(e.room), After: int64(from + skipped - 1), Head: e.seq})}
		}
	}()
	only(t, load(t, small(p.url())), nil)
}

// What the server refuses for a moment is repeated, and may stand behind.
func TestANakIsRepeated(t *testing.T) {
	t.Parallel()
	p := site(t)
	var once atomic.Bool
	p.mangle = func(s *stream, line []byte) [][]byte {
		if kindOf(line) == wire.KindAck && once.CompareAndSwap(false, true) {
			m, err := wire.ParseServer(line)
			if err != nil {
				t.Error(err)
			}
			a := m.(*wire.Ack)
			return [][]byte{wire.AppendLine(nil, wire.Nak{T: wire.KindNak, Room: a.Room, Nonce: a.Nonce, Code: wire.CodeUnavailable, RetryMS: 50})}
		}
		return [][]byte{line}
	}
	r := load(t, small(p.url()))
	only(t, r, nil)
	if r.Sent != r.Acked {
		t.Errorf("got %d of %d acknowledged, want all", r.Acked, r.Sent)
	}
}

// An interrupt ends the posting and not the checking.
func TestAnInterruptStillChecks(t *testing.T) {
	t.Parallel()
	p := site(t)
	ctx, cancel := context.WithCancel(t.Context())
	p.mangle = func(s *stream, line []byte) [][]byte {
		if s.events == 10 {
			cancel()
		}
		return [][]byte{line}
	}
	c := small(p.url())
	c.For = time.Hour
	r, err := Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	only(t, r, nil)
	if r.Sent == 0 || r.Acked != r.Sent || r.Received != 6*r.Acked || r.Posting > time.Minute {
		t.Errorf("got %+v, want six copies of what was sent until then", r)
	}
}

func TestAnInterruptBeforeTheBegin(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, small(site(t).url())); err == nil || !strings.Contains(err.Error(), "cancel") {
		t.Errorf("got %v, want an error of the interrupt", err)
	}
}

// The progress is one line, over and over, and gone at the end.
func TestProgress(t *testing.T) {
	t.Parallel()
	c := small(site(t).url())
	var out bytes.Buffer
	c.Progress = &out
	load(t, c)
	if s := out.String(); !strings.Contains(s, "12/12 connected") || strings.Contains(s, "\n") || !strings.HasSuffix(s, clearLine) {
		t.Errorf("got progress %q", s)
	}
}

func TestASiteThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	p := site(t)
	p.spoil = func(_ int, r *http.Request) spoiling {
		if r.Method == "POST" {
			return spoilUnasked
		}
		return spoilNothing
	}
	c := small(p.url())
	c.Arrive = 500 * time.Millisecond
	_, err := Run(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "only 0 are there") || !strings.Contains(err.Error(), "EOF") {
		t.Errorf("got %v, want how many came and what kept the others", err)
	}
}

// A refusal that trying again cannot change ends the run at once.
func TestASiteThatRefusesEverybody(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			http.Error(w, "signing up is closed", http.StatusForbidden)
			return
		}
		w.Write([]byte(`{"gen":1,"pid":2}`))
	}))
	defer s.Close()
	began := time.Now()
	_, err := Run(t.Context(), small(s.URL))
	if err == nil || !strings.Contains(err.Error(), "answered 403: signing up is closed") || time.Since(began) > 10*time.Second {
		t.Errorf("got %v after %v, want the refusal at once", err, time.Since(began))
	}
}

// Lines that a newer server may send, or that complain, disturb nothing.
func TestUnknownLinesAreIgnored(t *testing.T) {
	t.Parallel()
	p := site(t)
	p.mangle = func(s *stream, line []byte) [][]byte {
		if s.events == 3 && kindOf(line) == wire.KindEvent {
			return [][]byte{[]byte(`{"t":"new","x":[1]}`), []byte(`{"a":1}`), []byte(`{"t":"err","code":"rate","msg":"m"}`), line, []byte(`{"t":"ping"}`)}
		}
		return [][]byte{line}
	}
	only(t, load(t, small(p.url())), nil)
}

// Events in another spelling of JSON count the same.
func TestEventsInAnotherSpelling(t *testing.T) {
	t.Parallel()
	p := site(t)
	p.mangle = func(s *stream, line []byte) [][]byte {
		return [][]byte{bytes.Replace(line, []byte(`{"t":"ev",`), []byte(`{ "t": "ev", `), 1)}
	}
	only(t, load(t, small(p.url())), nil)
}
