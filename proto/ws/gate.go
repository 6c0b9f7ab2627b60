package ws

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/simpletalk/simpletalk/proto/swap"
)

// Gate returns l as a listener that accepts only while this worker is the one
// that serves. Meanwhile clients wait in the kernel's queue, where the next
// worker finds them. A Close closes l.
func (k *Keeper) Gate(l net.Listener) net.Listener { return &gate{Listener: l, keeper: k} }

type gate struct {
	net.Listener
	keeper *Keeper
	shut   bool // Close was called; the keeper's mutex guards it
}

// deadliner is a listener whose Accept can be woken without closing it.
type deadliner interface{ SetDeadline(time.Time) error }

// Accept implements [net.Listener].
func (g *gate) Accept() (net.Conn, error) {
	for {
		if err := g.await(); err != nil {
			return nil, err
		}
		c, err := g.Listener.Accept()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		return c, err
	}
}

// await waits until the gate is open, and has it shut when that is over.
func (g *gate) await() error {
	k := g.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.role != swap.Serving && !g.shut {
		k.changed.Wait()
	}
	if g.shut {
		return net.ErrClosed
	}
	if d, ok := g.Listener.(deadliner); ok {
		d.SetDeadline(time.Time{})
		k.open[g] = d
	}
	return nil
}

// Close implements [net.Listener].
func (g *gate) Close() error {
	k := g.keeper
	k.mu.Lock()
	g.shut = true
	delete(k.open, g)
	k.changed.Broadcast()
	k.mu.Unlock()
	return g.Listener.Close()
}

// shutGates ends every Accept that waits. mu is held.
func (k *Keeper) shutGates() {
	for g, d := range k.open {
		d.SetDeadline(time.Unix(1, 0))
		delete(k.open, g)
	}
}
