package ws_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/simpletalk/simpletalk/proto/ws"
)

// Any Go server can hand its connections to the next process. Here both are in
// one, so that the descriptor and the snapshot need not travel: between two
// they do as SCM_RIGHTS and as bytes.
func Example() {
	ctx := context.Background()
	ended := make(chan error, 2)
	serve := func(process string, c *ws.Conn) {
		ended <- c.Serve(func(_ ws.Type, message []byte) {
			c.Write(fmt.Appendf(nil, "%s got %s", process, message))
		})
	}

	// The old process serves.
	conns := make(chan *ws.Conn, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := ws.Accept(w, r, ws.Options{}); err == nil {
			conns <- c
			go serve("old", c)
		}
	}))
	defer server.Close()
	client, _, err := ws.Dial(ctx, server.URL, ws.DialOptions{})
	must(err)
	say := func(message string) {
		must(client.Write(ctx, ws.Text, []byte(message)))
		answer, err := client.Read(ctx)
		must(err)
		fmt.Println(string(answer))
	}
	say("one")

	// The new process adopts the connection and is ready for it.
	before := <-conns
	fd, _, err := before.Duplicate()
	must(err)
	after, err := ws.Adopt(fd, ws.Options{})
	must(err)
	go serve("new", after)
	say("two") // it still holds it only

	// The pause: from Freeze to Resume.
	frozen := make(chan *ws.Conn, 1)
	before.Freeze(frozen)
	<-frozen
	snapshot, err := before.Snapshot(nil)
	must(err)
	must(after.Load(snapshot)) // until here before.Thaw() would take it all back
	must(after.Resume())
	must(before.Release())
	fmt.Println("old:", strings.TrimPrefix((<-ended).Error(), "ws: "))
	say("three")

	must(client.Close(1000, ""))
	fmt.Println("new:", strings.TrimPrefix((<-ended).Error(), "ws: "))
	// Output:
	// old got one
	// old got two
	// old: the connection has moved to another process
	// new got three
	// new: closed by the peer with 1000 ""
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
