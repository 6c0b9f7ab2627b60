package supervise

import "sync"

// Group is the instances of one program on this host: what a worker of one
// publishes is delivered to those of the others too. It may be used concurrently.
type Group struct {
	mu      sync.Mutex
	members map[*Instance]int // workers that serve members
}

// NewGroup returns a group without instances: each joins with [Parts].
func NewGroup() *Group { return &Group{members: map[*Instance]int{}} }

// set notes how many workers of in serve, and returns how many do in all. The
// others are told of a change.
func (g *Group) set(in *Instance, n int) (total int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.members[in]
	g.members[in] = n
	for _, each := range g.members {
		total += each
	}
	if n == before {
		return total
	}
	for other := range g.members {
		if other != in {
			other.mail.post(other.tellPeers)
		}
	}
	return total
}

// leave takes an instance out that has ended.
func (g *Group) leave(in *Instance) {
	g.set(in, 0)
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.members, in)
}

// publish delivers what a worker of in has published to the other instances.
func (g *Group) publish(in *Instance, data []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for other := range g.members {
		if other != in {
			other.mail.post(func() { other.deliver(nil, data) })
		}
	}
}
