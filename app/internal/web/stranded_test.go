package web

import (
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// While the store is away from everybody clients stay; when another host tells
// that it stores messages they are sent there, and come back to refusals until the
// store is back.
func TestStrandedClientsAreSentElsewhere(t *testing.T) {
	t.Parallel() // it waits for seconds
	store, proxy := behindProxy(t)
	h := open(t, store, func(o *Options, _ *chat.Options) { o.StrandedAfter = 4 * time.Second })
	ann := h.meet(h.guest("Ann"), `{"t":"hello","v":1,"rooms":{"lobby":0}}`)
	seek[*wire.Live](ann)

	proxy.Down()
	time.Sleep(10 * time.Second)
	ann.say(`{"t":"ping"}`)
	seek[*wire.Pong](ann)

	over := make(chan struct{})
	var ringing sync.WaitGroup
	ringing.Go(func() {
		for every := time.Tick(100 * time.Millisecond); ; {
			select {
			case <-every:
				h.hub.Deliver([]byte(`{"heads":{"elsewhere":1}}`))
			case <-over:
				return
			}
		}
	})
	defer ringing.Wait()
	defer close(over)
	if bye := seek[*wire.Bye](ann); bye.Why != wire.WhyElsewhere {
		t.Errorf("bye because of %s", bye.Why)
	}
	if code := ann.closed(); code != wire.CloseGoingAway {
		t.Errorf("closed with %d, want %d", code, wire.CloseGoingAway)
	}

	proxy.Up(t)
	bob := h.meet(h.guest("Bob"), `{"t":"hello","v":1,"rooms":{"lobby":0}}`)
	seek[*wire.Live](bob)
}

func TestWhenClientsAreStranded(t *testing.T) {
	const after = 10 * time.Second
	at := func(seconds int) time.Time { return time.Unix(int64(1000+seconds), 0) }
	for name, tt := range map[string]struct {
		failing   []int // when calls of the store failed
		answered  int   // when one was answered; 0: never
		told, now int
		want      bool
	}{
		"the store answers":               {nil, 1, 20, 20, false},
		"away alone":                      {[]int{1, 6}, 0, 10, 11, true},
		"not for long":                    {[]int{2, 6}, 0, 10, 11, false},
		"away from all":                   {[]int{1, 6}, 0, 1, 11, false},
		"it was back in between":          {[]int{1, 8}, 5, 10, 11, false},
		"nobody has ever told anything":   {[]int{1, 6}, 0, -1000, 11, false},
		"the others have it, but not now": {[]int{1, 6}, 0, 10, 20, false},
	} {
		var o outage
		for second := range 30 {
			if second == tt.answered {
				o.saw(at(second), nil)
			}
			for _, f := range tt.failing {
				if f == second {
					o.saw(at(second), chat.ErrUnavailable)
				}
			}
		}
		if got := o.strands(at(tt.now), at(tt.told), after); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
