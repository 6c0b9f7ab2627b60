package load

import (
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// What one received event costs a client, from the bytes to the counters.
func BenchmarkEvent(b *testing.B) {
	r := newRun(Config{Clients: 50, Chatters: 10, Rate: 100, Rooms: 5, For: time.Minute}, &target{})
	c := r.clients[20]
	l := &link{client: c}
	c.begin(1)
	frames := make([][]byte, 1000)
	var bytes int
	for i := range frames {
		m := message{author: c.id % 5, number: int64(i + 1), due: int64(i)}
		frames[i] = serverFrame(opText, wire.AppendLine(nil, wire.Event{
			T: wire.KindEvent, Room: c.seats[0].room.name, Seq: int64(i + 1), TS: 1700000000000, Kind: wire.EventPost,
			User: wire.User{ID: "AAAAAAAAAAAAAAAA", Name: "load " + r.tag + " 1"}, Nonce: m.nonce(r.tag), Text: m.text(r.tag),
		}))
		bytes += len(frames[i])
	}
	b.SetBytes(int64(bytes / len(frames)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(frames) == 0 {
			c.seats[0] = newSeat(c.seats[0].room)
		}
		if err := c.take(l, frames[i%len(frames)]); err != nil {
			b.Fatal(err)
		}
	}
	if c.seats[0].duplicated+c.seats[0].reordered > 0 {
		b.Fatal("faults in a clean stream")
	}
}
