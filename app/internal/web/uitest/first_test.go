package uitest

import (
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// The first page is small, and after the document one round trip brings
// everything that it takes to begin: nothing on the way waits for anything
// else, and nothing is asked for twice.
func TestTheFirstPage(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url()+"/healthz", phone)
	slow := &network.Conditions{Latency: 400, DownloadThroughput: -1, UploadThroughput: -1}
	ada.do("slow down", call(network.Enable, network.EnableParams{}),
		call(network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{slow}}))

	type resource struct {
		Name       string
		Start, End float64
		Bytes      int
	}
	load := func(usable string) []resource {
		t.Helper()
		ada.do("open", chromedp.Navigate(site.url()+"/r/lobby"))
		ada.until(usable)
		// The dialogs are fetched when there is nothing to do: what comes from then on does not count.
		return eval[[]resource](ada, `(() => {
			const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
			const begun = all.find(e => e.name.endsWith('/ui/dialogs.js'))?.startTime ?? Infinity;
			return all.filter(e => e.startTime < begun).map(e => ({Name: new URL(e.name).pathname, Start: e.startTime, End: e.responseEnd, Bytes: e.encodedBodySize}));
		})()`)
	}
	check := func(who string, loaded []resource) {
		t.Helper()
		bytes, first, seen := 0, loaded[1].End, map[string]bool{}
		for _, r := range loaded {
			bytes += r.Bytes
			if seen[r.Name] {
				t.Errorf("%s: %s is asked for twice", who, r.Name)
			}
			seen[r.Name] = true
		}
		for _, r := range loaded[1:] {
			first = min(first, r.End)
		}
		for _, r := range loaded[1:] {
			if r.Start > first {
				t.Errorf("%s: %s is asked for at %.0f ms, when something else has come, at %.0f ms", who, r.Name, r.Start, first)
			}
		}
		if bytes > 60<<10 {
			t.Errorf("%s: %d bytes come before it can be used, want at most %d", who, bytes, 60<<10)
		}
		t.Logf("%s: %d files, %d bytes, asked for within %.0f ms", who, len(loaded), bytes, loaded[len(loaded)-1].Start-loaded[1].Start)
	}
	check("somebody new", load(`!document.querySelector('#signin').hidden && document.activeElement.id === 'name'`))
	ada.signIn()
	check("somebody who was here", load(`!document.querySelector('#chat').hidden && document.querySelector('#rooms .me').textContent.includes('Ada')`))
	ada.live()
	ada.healthy()
}
