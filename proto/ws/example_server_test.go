package ws_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"strconv"
	"sync"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/proto/ws"
)

func init() { ws.RunExample(Example_server) }

// A server whose WebSockets outlive it: it numbers the messages of each
// connection, and goes on counting after a deploy. Run it by
//
//	supervisor run -- ./server
//
// and its clients notice neither `supervisor reload` nor a kill -9 of it. After
// a kill the count is lost, as everything that only a dead process knew: the
// client is told.
func Example_server() {
	listeners, err := proto.Listeners()
	must(err)
	worker, err := proto.Join(proto.Build{Version: "1.0.0"}, ws.Formats(1))
	must(err)

	var counts sync.Map // *ws.Conn → *int
	var conns sync.WaitGroup
	serve := func(c *ws.Conn) {
		n := new(int)
		counts.Store(c, n)
		conns.Go(func() {
			defer counts.Delete(c)
			c.Serve(func(_ ws.Type, message []byte) {
				*n++
				c.Write(fmt.Appendf(nil, "%d: %s", *n, message))
			})
		})
	}
	keeper := ws.NewKeeper(worker, ws.Service{
		Versions: []int{1},
		Adopt:    func(c *ws.Conn, meta []byte) error { serve(c); return nil },
		Save: func(version int, c *ws.Conn) ([]byte, error) {
			n, _ := counts.Load(c)
			return strconv.AppendInt(nil, int64(*n.(*int)), 10), nil
		},
		Load: func(version int, c *ws.Conn, state []byte) (err error) {
			n, _ := counts.Load(c)
			*n.(*int), err = strconv.Atoi(string(state))
			return err
		},
		Recover: func(c *ws.Conn) []byte { return []byte("I have lost count") },
	})

	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := keeper.Accept(w, r, ws.Options{}, nil); err == nil {
			serve(c)
		}
	})}
	for _, l := range listeners {
		go server.Serve(keeper.Gate(l))
	}
	must(worker.Ready())
	err = keeper.Run(context.Background(), proto.Handler{Drain: func(ctx context.Context, why proto.Drain) {
		counts.Range(func(c, _ any) bool { go c.(*ws.Conn).Close(1012, "come back"); return true })
		server.Shutdown(ctx)
		conns.Wait()
	}})
	if err != nil && !errors.Is(err, proto.ErrOrphaned) {
		log.Fatal(err)
	}
}
