package chat

import (
	"maps"
	"sync/atomic"
)

// markersTold are read markers, by room, that a member is to be told. They
// never change.
type markersTold map[string]int64

// news is what a member is told beside its rooms: where its user's other
// connections have read. It is no queue, each room's last marker counts. It takes
// no lock, so that nobody waits for a client that does not read.
type news struct{ told atomic.Pointer[markersTold] }

// add adds a marker.
func (n *news) add(room string, seq int64) {
	for {
		before := n.told.Load()
		after := markersTold{}
		if before != nil {
			if (*before)[room] >= seq {
				return
			}
			maps.Copy(after, *before)
		}
		after[room] = seq
		if n.told.CompareAndSwap(before, &after) {
			return
		}
	}
}

// done forgets what was told, unless more has come: then all of it is told
// again, which harms nobody.
func (n *news) done(told *markersTold) { n.told.CompareAndSwap(told, nil) }
