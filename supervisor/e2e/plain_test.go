package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/cloudflare/tableflip"

	"github.com/simpletalk/simpletalk/proto/ws"
)

// envPlain makes this test binary the server to compare with: what a good
// engineer builds today without a supervisor that keeps connections. On SIGHUP
// tableflip starts the next process, which takes the listening socket; the old
// one closes its WebSockets with 1012 and its clients come back. Its value is
// the address.
const envPlain = "SIMPLETALK_E2E_PLAIN"

func servePlain(addr string) error {
	upgrader, err := tableflip.New(tableflip.Options{})
	if err != nil {
		return err
	}
	defer upgrader.Stop()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			if err := upgrader.Upgrade(); err != nil {
				fmt.Fprintln(os.Stderr, "plain:", err)
			}
		}
	}()
	l, err := upgrader.Listen("tcp", addr)
	if err != nil {
		return err
	}
	var conns sync.Map
	var serving sync.WaitGroup
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := ws.Accept(w, r, ws.Options{})
		if err != nil {
			return
		}
		conns.Store(c, nil)
		serving.Go(func() {
			defer conns.Delete(c)
			c.Serve(func(_ ws.Type, m []byte) { c.Write(m) })
		})
	})}
	go server.Serve(l)
	if err := upgrader.Ready(); err != nil {
		return err
	}
	fmt.Println("pid", os.Getpid())
	<-upgrader.Exit()
	server.Shutdown(context.Background())
	conns.Range(func(c, _ any) bool {
		go c.(*ws.Conn).Close(1012, "restart")
		return true
	})
	serving.Wait()
	return nil
}
