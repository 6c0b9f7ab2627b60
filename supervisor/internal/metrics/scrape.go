package metrics

import (
	"net/http"
	"strings"
	"time"

	victoria "github.com/VictoriaMetrics/metrics"
)

// What scrapes may take.
const (
	scrapeTime    = 5 * time.Second // one of them
	scrapesAtOnce = 4
)

// Handler answers scrapes. One that there is no room for, or that takes too long,
// is refused with 503; whoever asks comes again.
func (m *Metrics) Handler() http.Handler {
	room := make(chan struct{}, scrapesAtOnce)
	bounded := func(w http.ResponseWriter, r *http.Request) {
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
			m.scrape(w, r)
		default:
			http.Error(w, "too many scrapes at once", http.StatusServiceUnavailable)
		}
	}
	return http.TimeoutHandler(http.HandlerFunc(bounded), scrapeTime, "the scrape took too long\n")
}

// scrape answers with everything. Each family is in one of the sets only, because
// the format wants all series of a family together.
func (m *Metrics) scrape(w http.ResponseWriter, r *http.Request) {
	status, err := m.sources.Status(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var text strings.Builder
	snapshotOf(status, m.sources.Dropped()).WritePrometheus(&text)
	m.counted.WritePrometheus(&text)
	victoria.WriteProcessMetrics(&text)
	victoria.WriteFDMetrics(&text)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	writeWithHelp(w, text.String())
}
