package e2e

import "testing"

// Behind nginx nobody notices a deploy or a kill -9 either, and no request is
// cut: what a killed worker had, nginx repeats.
func TestNobodyNoticesBehindNginx(t *testing.T) {
	for name, r := range map[string]trial{
		"trouble": {clients: 300, chatters: 30, rooms: 5, rate: 100, reloads: 3, kills: 1, front: sitePlain},
		"TLS":     {clients: 300, chatters: 30, rooms: 5, rate: 100, reloads: 4, kills: 1, plain: true, front: siteTLS},
	} {
		t.Run(name, r.run)
	}
}
