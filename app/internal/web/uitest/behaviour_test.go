package uitest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// What was not sent survives the tab, and is sent once.
func TestUnsentMessagesSurviveAReload(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url()+"/r/lobby", desktop).signIn()
	ada.say("before")
	ada.sees("before")
	site.stop()
	ada.until(`document.querySelector('#banner.shown')`)
	ada.say("first of two")
	ada.say("second of two")
	ada.keysIn("half a thou")
	ada.until(`document.querySelectorAll('.message.pending').length === 2`)
	site.start()
	ada.do("reload", chromedp.Reload())
	ada.sees("second of two")
	if got, want := ada.messages(), []string{"before", "first of two", "second of two"}; !slices.Equal(got, want) {
		t.Errorf("the page shows %q, want %q", got, want)
	}
	ada.until(`document.querySelector('#composer textarea').value === 'half a thou'`)
	ada.healthy()
}

// Two tabs of one person: a message is sent by one of them, both show it once,
// and what one has read the other knows.
func TestTwoTabs(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	one := b.visit("Ada", site.url()+"/r/lobby", desktop).signIn()
	two := one.another(site.url() + "/r/design")
	two.live()
	for i := range 5 {
		one.say(fmt.Sprintf("one %d", i))
	}
	one.sees("one 4")
	grace := b.visit("Grace", site.url()+"/r/design", desktop).signIn()
	grace.say("a word about design")
	two.sees("a word about design")
	one.until(`document.querySelector('#rooms .own li:first-child') && !document.querySelector('#rooms .own li.unread')`)
	two.do("to the lobby", chromedp.Click(`#rooms [data-room="lobby"]`))
	two.sees("one 4")
	if got := two.messages(); len(got) != 5 {
		t.Errorf("the second tab shows %q, want five messages", got)
	}
}

// A page that was frozen, as the system does with one nobody looks at, is up
// to date when it wakes.
func TestAFrozenPageCatchesUp(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url()+"/r/lobby", phone).signIn()
	grace := b.visit("Grace", site.url()+"/r/lobby", desktop).signIn()
	ada.do("freeze", call(page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: "frozen"}))
	for i := range 30 {
		grace.say(fmt.Sprintf("while you slept %d", i))
	}
	grace.sees("while you slept 29")
	ada.do("wake", call(page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: "active"}))
	ada.sees("while you slept 29")
	if got, want := ada.messages(), grace.messages(); !slices.Equal(got, want) {
		t.Errorf("the page shows %q, want %q", got, want)
	}
	ada.healthy()
}

// longestWait is more than the page waits between two attempts to connect.
const longestWait = 45 * time.Second

// On a network like a crowded train's everything arrives, once and in order.
func TestASlowNetwork(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url()+"/r/lobby", phone).signIn()
	slow := &network.Conditions{Latency: 300, DownloadThroughput: 50 << 10, UploadThroughput: 25 << 10}
	ada.do("slow down", call(network.Enable, network.EnableParams{}),
		call(network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{slow}}),
		chromedp.Reload())
	ada.live()
	var said []string
	for i := range 4 {
		said = append(said, fmt.Sprintf("by slow train %d", i))
		ada.say(said[i])
	}
	ada.untilWithin(longestWait, texts+`.includes(`+quote(said[3])+`)`)
	if got := ada.messages(); !slices.Equal(got, said) {
		t.Errorf("the page shows %q, want %q", got, said)
	}
	ada.healthy()
}

// Nor does a network matter that comes and goes, and a server that does. (Not slow
// as well: Chromium 156 loses its network process, and the cookies with it, when a
// connection that it slows down is reset.)
func TestAFlakyNetwork(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url()+"/r/lobby", phone).signIn()
	ada.do("watch the network", call(network.Enable, network.EnableParams{}))
	signal := func(none bool) {
		ada.do("change the signal", call(network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: none, Latency: 0, DownloadThroughput: -1, UploadThroughput: -1}))
	}
	var said []string
	for i := range 12 {
		if i%4 == 2 {
			site.stop()
			signal(true)
		}
		text := fmt.Sprintf("through the tunnel %d", i)
		ada.say(text)
		said = append(said, text)
		if i%4 == 3 {
			site.start()
			signal(false)
			ada.untilWithin(longestWait, texts+`.includes(`+quote(text)+`)`)
		}
	}
	if got := ada.messages(); !slices.Equal(got, said) {
		t.Errorf("the page shows %q, want %q", got, said)
	}
	ada.healthy()
}

// Enter that chooses a word of an input method sends nothing.
func TestComposition(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url()+"/r/lobby", desktop).signIn()
	ada.do("compose", chromedp.Focus("#composer textarea"),
		call(input.ImeSetComposition, input.ImeSetCompositionParams{Text: "にほん", SelectionStart: 3, SelectionEnd: 3}))
	eval[any](ada, `(() => { const f = document.querySelector('#composer textarea');
		for (const init of [{isComposing: true, keyCode: 13}, {isComposing: false, keyCode: 229}])
			f.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, cancelable: true, ...init})); return 0 })()`)
	time.Sleep(300 * time.Millisecond)
	if got := eval[int](ada, `document.querySelectorAll('.message').length`); got != 0 {
		t.Fatalf("%d messages were sent while a word was being composed", got)
	}
	ada.do("commit", call(input.InsertText, input.InsertTextParams{Text: "日本"}), strike("\r"))
	ada.sees("日本")
	ada.do("break", sendKeys("#composer textarea", "one"),
		strike("\r", chromedp.KeyModifiers(chromedp.ModifierShift)), sendKeys("#composer textarea", "two\r"))
	ada.sees("one\ntwo")
}

// Everything can be done without a mouse.
func TestKeyboardOnly(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url()+"/r/lobby", desktop)
	ada.until(`document.activeElement.id === 'name'`)
	ada.keys("Ada\r")
	ada.live()
	composing := `document.activeElement === document.querySelector('#composer textarea')`
	ada.until(composing)
	ada.keys("first\r")
	ada.sees("first")
	ada.keys("secnd\r")
	ada.sees("secnd")
	ada.keys(kb.ArrowUp)
	ada.until(`document.querySelector('#composer textarea').value === 'secnd'`)
	ada.keys("\b\bond\r")
	ada.sees("second")

	ada.keys("\t", chromedp.KeyModifiers(chromedp.ModifierShift))
	ada.until(`document.activeElement.matches('.message:last-child')`)
	ada.keys(kb.ArrowUp)
	ada.until(`document.activeElement.id === 'm1'`)
	ada.keys("\r")
	ada.until(`document.querySelector('#menu').open && document.activeElement.closest('.quick')`)
	ada.keys(kb.ArrowRight)
	ada.keys("\r")
	ada.until(`document.querySelector('#m1 .reaction')?.textContent === '❤️1' && document.activeElement.id === 'm1'`)
	ada.keys(kb.Delete)
	ada.until(`document.querySelector('#menu').dataset.view === 'delete' && document.activeElement.textContent === 'Keep it'`)
	ada.keys(kb.ArrowRight)
	ada.keys("\r")
	ada.sees("You deleted this message")
	ada.keys(kb.Escape)
	ada.until(composing)

	ada.keys("k", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	ada.until(`document.activeElement.id === 'search-words'`)
	ada.keys("second")
	ada.until(`document.querySelectorAll('#search ol a').length === 1`)
	ada.keys(kb.Escape)
	ada.until(`!document.querySelector('#search').open`)
	ada.healthy()
}

// Ten thousand messages: scrolling back to the first moves nothing under the
// reader's eyes, and stays smooth.
func TestTenThousandMessages(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t)
	site.fill("lobby", 10_000)
	site.start()
	ada := b.visit("Ada", site.url()+"/r/lobby", desktop).signIn()
	ada.sees("message 10000")
	// A frame counts from its begin to the end of its work: scripts, style,
	// layout. What a jump would be: the line being read moves otherwise than
	// the person scrolled.
	type result struct {
		Seen, Frames int
		Median, Jump float64
		Nodes        int
	}
	got := eval[result](ada, `(async () => {
		const scroller = document.querySelector('#scroller'), list = document.querySelector('#messages');
		const work = [], channel = new MessageChannel();
		const frame = () => new Promise(done => requestAnimationFrame(begin => { channel.port1.onmessage = () => { work.push(performance.now() - begin); done(); }; channel.port2.postMessage(0); }));
		const end = performance.now() + 90_000;
		let jump = 0, nodes = 0, steps = 0;
		const seen = new Set();
		while (!seen.has(1) && performance.now() < end) {
			const middle = scroller.getBoundingClientRect().top + scroller.clientHeight / 2;
			const line = [...list.querySelectorAll('.message')].find(e => e.getBoundingClientRect().bottom > middle);
			for (const e of list.querySelectorAll('.message[id]')) seen.add(Number(e.id.slice(1)));
			nodes = Math.max(nodes, list.childElementCount);
			const before = line.getBoundingClientRect().top, by = ++steps % 20 ? Math.min(700, scroller.scrollTop) : scroller.scrollTop; // now and then all the way up
			scroller.scrollTop -= by;
			await frame();
			await frame();
			if (line.isConnected) jump = Math.max(jump, Math.abs(line.getBoundingClientRect().top - before - by));
		}
		work.sort((a, b) => a - b);
		return {Seen: seen.size, Frames: work.length, Median: work[work.length >> 1], Jump: jump, Nodes: nodes};
	})()`)
	t.Logf("%+v", got)
	if got.Seen != 10_000 {
		t.Errorf("%d messages were seen on the way to the first, want all 10000", got.Seen)
	}
	if got.Median >= 16 {
		t.Errorf("the median frame took %.1f ms, want less than 16", got.Median)
	}
	if got.Jump > 1 {
		t.Errorf("the line being read jumped by %.1f pixels", got.Jump)
	}
	if got.Nodes > 1000 {
		t.Errorf("the list held %d rows at once", got.Nodes)
	}
	ada.click("#pill")
	ada.sees("message 10000")
	ada.until(`!document.querySelector('#pill.shown')`)
	ada.do("a link into the past", chromedp.Navigate(site.url()+"/r/lobby#m5000"))
	ada.do("reload", chromedp.Reload())
	ada.until(`document.activeElement.id === 'm5000'`)
	ada.healthy()
}

// What others say may be anything: it is text, and nothing else.
func TestNothingBecomesMarkup(t *testing.T) {
	b := openBrowser(t)
	site := openSite(t).start()
	ada := b.visit("Ada", site.url()+"/r/lobby", desktop).signIn()
	for _, text := range []string{
		`<img src=x onerror="window.broken = 1">`,
		`<script>window.broken = 1</script>`,
		`javascript:window.broken=1`,
		`https://example.org/"onmouseover="window.broken=1`,
		`[x](javascript:window.broken=1) <svg/onload=window.broken=1>`,
		`https://user@evil.example/`,
	} {
		ada.say(text)
		ada.sees(text)
	}
	if broken := eval[bool](ada, `window.broken !== undefined`); broken {
		t.Error("something that was said has run")
	}
	hrefs := eval[[]string](ada, `[...document.querySelectorAll('#messages .text a')].map(a => a.protocol + ' ' + a.rel + ' ' + a.host)`)
	if want := []string{"https: noopener noreferrer nofollow ugc example.org"}; !slices.Equal(hrefs, want) {
		t.Errorf("the links are %q, want %q", hrefs, want)
	}
	ada.healthy()
}
