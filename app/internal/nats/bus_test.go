package nats

import (
	"fmt"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/chat/chattest"
	"github.com/simpletalk/simpletalk/app/internal/nats/natstest"
)

func TestBus(t *testing.T) {
	server := natstest.Start(t, "")
	n := 0
	chattest.Bus(t, func(t *testing.T, ends int, deliver func(int, []byte)) (all []chat.Bus) {
		n++
		for i := range ends {
			l := &listener{hook: func(data []byte) { deliver(i, data) }}
			all = append(all, run(t, Options{URL: server.URL()}, fmt.Sprint("epoch", n), l))
			eventually(t, "an end is connected", func() bool { return l.reachedTimes() > 0 })
		}
		return all
	})
}

// pair is two hosts on one log, each with a log file.
func pair(t *testing.T, a, b Options) (from, to *Bus, hears, heard *listener) {
	t.Helper()
	hears, heard = &listener{}, &listener{}
	return run(t, a, "log", hears), run(t, b, "log", heard), hears, heard
}

// wantTalk checks that messages come through.
func wantTalk(t *testing.T, from *Bus, to *listener, text string) {
	t.Helper()
	eventually(t, text+" is heard", func() bool {
		from.Publish([]byte(text))
		return to.hears(text) > 0
	})
}

func TestOtherLogsAreNotHeard(t *testing.T) {
	server := natstest.Start(t, "")
	from, _, _, heard := pair(t, Options{URL: server.URL()}, Options{URL: server.URL()})
	stranger := &listener{}
	run(t, Options{URL: server.URL()}, "another", stranger)
	eventually(t, "the stranger is connected", func() bool { return stranger.reachedTimes() > 0 })
	wantTalk(t, from, heard, "hello")
	if stranger.hears("hello") > 0 {
		t.Error("a host on another log hears us")
	}
}

// A server that is killed, away from the start, or gone without a word, comes
// back; what was said meanwhile is lost, not late.
func TestAServerThatIsAway(t *testing.T) {
	server := natstest.Start(t, "")
	var log journal
	from, _, hears, heard := pair(t, Options{URL: server.URL(), Log: log.logger()}, Options{URL: server.URL()})
	wantTalk(t, from, heard, "before")
	reached, others := hears.reachedTimes(), heard.reachedTimes()

	server.Kill()
	eventually(t, "the log tells", func() bool { return contains(&log, "nats away, polling the store") })
	for range 10 * queueMessages {
		from.Publish([]byte("meanwhile"))
	}
	time.Sleep(100 * time.Millisecond) // what waited in the queue finds no server
	server.Restart("")
	eventually(t, "both are back", func() bool {
		return hears.reachedTimes() > reached && heard.reachedTimes() > others
	})
	wantTalk(t, from, heard, "after")
	if n := heard.hears("meanwhile"); n > 0 {
		t.Errorf("%d messages from while the server was away arrived later", n)
	}
}

func TestAServerThatComesLater(t *testing.T) {
	server := natstest.Start(t, "")
	server.Kill()
	var log journal
	from, _, hears, heard := pair(t, Options{URL: server.URL(), Log: log.logger()}, Options{URL: server.URL()})
	eventually(t, "the log tells", func() bool { return contains(&log, "nats away, polling the store") })
	if hears.reachedTimes() > 0 {
		t.Error("reached without a server")
	}
	server.Restart("")
	wantTalk(t, from, heard, "hello")
	if hears.reachedTimes() == 0 {
		t.Error("nobody is told that it has come")
	}
}

// A partition ends no connection: that nothing answers any more has to be found
// out, and posting must not wait meanwhile.
func TestAPartition(t *testing.T) {
	server := natstest.Start(t, "")
	way := natstest.NewWay(t, server.Addr())
	var log journal
	from, back, hears, heard := pair(t, Options{URL: "nats://" + way.Addr(), Log: log.logger()}, Options{URL: server.URL()})
	wantTalk(t, from, heard, "before")
	reached := hears.reachedTimes()

	way.Silence()
	began, slowest := time.Now(), time.Duration(0)
	eventually(t, "the silence is noticed", func() bool {
		at := time.Now()
		for range 100 {
			from.Publish(make([]byte, 4<<10))
		}
		slowest = max(slowest, time.Since(at))
		return contains(&log, "nats away, polling the store")
	})
	t.Logf("noticed after %s; the slowest 100 publishes took %s", time.Since(began).Round(time.Millisecond), slowest)
	if slowest > time.Second {
		t.Errorf("100 publishes into a partition took %s", slowest)
	}
	way.Reset()
	way.Open()
	eventually(t, "it is back", func() bool { return hears.reachedTimes() > reached })
	wantTalk(t, from, heard, "after")
	wantTalk(t, back, hears, "and the other way")
}

func TestTheEndDoesNotWait(t *testing.T) {
	server := natstest.Start(t, "")
	way := natstest.NewWay(t, server.Addr())
	t.Run("", func(t *testing.T) { // its end ends the bus
		l := &listener{}
		run(t, Options{URL: "nats://" + way.Addr()}, "log", l)
		eventually(t, "it is connected", func() bool { return l.reachedTimes() > 0 })
		way.Silence()
	})
}
