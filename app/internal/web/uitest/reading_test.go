package uitest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
)

// atEnd is a JavaScript condition: the last message is on the screen.
const atEnd = `document.querySelector('#scroller').scrollHeight - document.querySelector('#scroller').scrollTop - document.querySelector('#scroller').clientHeight < 2`

// announced is what assistive technology was told of.
func (t *tab) announced() []string {
	t.t.Helper()
	return eval[[]string](t, `[...document.querySelectorAll('#announcer p')].map(p => p.textContent)`)
}

// Whoever reads further up is not moved by what others say; a pill counts it.
// One's own words lead to the end. What comes live is announced, and nothing
// else.
func TestReadersAreNotMoved(t *testing.T) {
	for _, l := range []look{desktop, phone} {
		t.Run(fmt.Sprintf("%d", l.width), func(t *testing.T) {
			b := openBrowser(t)
			site := openSite(t)
			site.fill("lobby", 300)
			site.start()
			ada := b.visit("Ada", site.url()+"/r/lobby", l).signIn()
			grace := b.visit("Grace", site.url()+"/r/lobby", desktop).signIn()
			ada.sees("message 300")
			ada.until(atEnd)
			grace.say("at the end")
			ada.sees("at the end")
			ada.until(atEnd)
			if got, want := ada.announced(), []string{"Grace: at the end"}; !slices.Equal(got, want) {
				t.Errorf("announced %q, want %q: what is live, not the history", got, want)
			}

			eval[any](ada, `document.querySelector('#scroller').scrollTop -= 2500`)
			ada.until(`document.querySelector('#pill.shown') && !document.querySelector('#scroller.loading')`)
			const where = `(() => { const s = document.querySelector('#scroller').getBoundingClientRect();
				const line = [...document.querySelectorAll('.message[id]')].find(e => e.getBoundingClientRect().top > s.top);
				return line.id + ' ' + Math.round(line.getBoundingClientRect().top) })()`
			before := eval[string](ada, where)
			for i := range 3 {
				grace.say(fmt.Sprintf("further down %d", i))
			}
			ada.until(`document.querySelector('#pill .text').textContent === '3 new'`)
			if got := eval[string](ada, where); got != before {
				t.Errorf("the reader was at %s, and is at %s", before, got)
			}
			if got := ada.announced(); len(got) != 4 || got[3] != "Grace: further down 2" {
				t.Errorf("announced %q, want the three that came too", got)
			}
			ada.say("my own words")
			ada.sees("my own words")
			ada.until(atEnd + ` && !document.querySelector('#pill.shown')`)
			if got := ada.announced(); len(got) != 4 {
				t.Errorf("announced %q, want nothing of one's own", got)
			}
			ada.healthy()
		})
	}
}

// What was missed is caught up with a word about how much it was, and read out
// to nobody.
func TestCatchingUpIsSilent(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url()+"/r/lobby", desktop).signIn()
	grace := b.visit("Grace", site.url()+"/r/lobby", desktop).signIn()
	grace.say("before")
	ada.sees("before")
	ada.do("lose the signal", call(network.Enable, network.EnableParams{}))
	offline := func(yes bool) {
		conditions := &network.Conditions{Offline: yes, DownloadThroughput: -1, UploadThroughput: -1}
		ada.do("change the signal", call(network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{conditions}}),
			call(network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: yes, DownloadThroughput: -1, UploadThroughput: -1}))
	}
	offline(true)
	site.stop()
	ada.until(`/^Reconnecting/.test(document.querySelector('#banner.shown .text')?.textContent)`)
	site.start()
	grace.untilWithin(longestWait, `!document.querySelector('#banner.shown') || document.querySelector('#banner').dataset.kind === 'back'`)
	for i := range 12 {
		grace.say(fmt.Sprintf("missed %d", i))
	}
	grace.sees("missed 11")
	offline(false)
	ada.untilWithin(longestWait, `document.querySelector('#banner.shown .text')?.textContent === 'Back: caught up 12 messages'`)
	ada.sees("missed 11")
	if got := ada.announced(); strings.Contains(strings.Join(got, "\n"), "missed") {
		t.Errorf("announced %q: what was missed is history", got)
	}
	grace.say("live again")
	ada.sees("live again")
	ada.until(`document.querySelector('#announcer').lastChild.textContent === 'Grace: live again'`)
	ada.healthy()
}
