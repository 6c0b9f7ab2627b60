package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Two people talk in real browsers; a deploy in between costs them nothing:
// both see every message once, in order.
func TestTwoBrowsersTalkThroughADeploy(t *testing.T) {
	chromium := findBrowser(t)
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	s := open(t, builds[0])
	ada := openTab(t, chromium, s.url(), "Ada")
	grace := openTab(t, chromium, s.url(), "Grace")

	var said []string
	say := func(who *tab, text string) {
		who.say(text)
		said = append(said, text)
		for _, each := range []*tab{ada, grace} {
			each.waitFor(text)
		}
	}
	say(ada, "hello, who is there?")
	say(grace, "me, and I read you well")

	s.install(builds[1])
	if d := s.hangup(); d.Verdict != "accepted" {
		t.Fatalf("the deploy was %s: %s", d.Verdict, d.Reason)
	}
	if h := s.mustHealth(); h.Commit != "bbbb" {
		t.Fatalf("%+v serves, want commit bbbb", h)
	}
	say(ada, "did you notice anything?")
	say(grace, "no, should I?")

	for _, each := range []*tab{ada, grace} {
		if got := each.messages(); !slices.Equal(got, said) {
			t.Errorf("%s sees %q, want %q", each.name, got, said)
		}
	}
	ada.screenshot("browser.png")
}

// sockets counts what DevTools tells of a tab's WebSockets.
type sockets struct {
	mu              sync.Mutex
	created, closed int
}

func (s *sockets) listen(event any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch event.(type) {
	case *network.EventWebSocketCreated:
		s.created++
	case *network.EventWebSocketClosed:
		s.closed++
	}
}

func (s *sockets) counts() (created, closed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.created, s.closed
}

// A real browser stays on the one WebSocket that it opened, over deploys and
// kills, and its banner never shows.
func TestABrowserStaysOnOneWebSocket(t *testing.T) {
	chromium := findBrowser(t)
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	s := open(t, builds[0])
	var seen sockets
	ada := openTab(t, chromium, s.url(), "Ada", seen.listen)
	var said []string
	say := func(text string) {
		ada.say(text)
		said = append(said, text)
		ada.waitFor(text)
	}
	say("hello")
	for i := range 7 {
		before := s.mustHealth()
		if i%3 == 2 {
			kill(before.PID)
		} else {
			s.install(builds[(i+1)%2])
			if d := s.hangup(); d.Verdict != "accepted" {
				t.Fatalf("the deploy was %s: %s", d.Verdict, d.Reason)
			}
		}
		say(fmt.Sprintf("still here after %d", i+1))
		s.eventually("the next worker serves", func() bool {
			h, err := s.health()
			return err == nil && h.Gen > before.Gen
		})
	}
	if created, closed := seen.counts(); created != 1 || closed != 0 {
		t.Errorf("DevTools saw %d WebSockets opened and %d closed, want 1 and none", created, closed)
	}
	if got := ada.messages(); !slices.Equal(got, said) {
		t.Errorf("the page shows %q, want %q", got, said)
	}
}

// findBrowser returns a Chromium, or ends the test.
func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	skip(t, "there is no Chromium (Debian: apt-get install chromium)")
	return ""
}

// tab is somebody's browser: a process and a profile of its own.
type tab struct {
	t    *testing.T
	name string
	ctx  context.Context
}

// tabPatience bounds everything a test does with one tab.
const tabPatience = 2 * time.Minute

// openTab starts a browser, opens the chat at a site's url and picks a name. listen gets every
// event of DevTools.
func openTab(t *testing.T, chromium, url, name string, listen ...func(any)) *tab {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.WindowSize(1100, 760),
		chromedp.Flag("ignore-certificate-errors", true), // a test's is signed by nobody
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(tabPatience))
	bounded, cancel := context.WithTimeout(context.Background(), tabPatience)
	allocator, endProcess := chromedp.NewExecAllocator(bounded, options...)
	var listeners []chromedp.ContextOption
	for _, l := range listen {
		listeners = append(listeners, chromedp.WithListener(l))
	}
	ctx, endTab := chromedp.NewContext(allocator, listeners...)
	t.Cleanup(func() {
		chromedp.Cancel(ctx) // waits for the process
		endTab()
		endProcess()
		cancel()
	})
	b := &tab{t: t, name: name, ctx: ctx}
	b.do("pick a name",
		chromedp.Navigate(url+"/r/lobby"),
		chromedp.WaitVisible("#signin #name"),
		chromedp.SendKeys("#signin #name", name),
		chromedp.Click("#signin button[type=submit]"),
		chromedp.WaitVisible("#composer textarea"),
	)
	return b
}

func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	b.must(what, chromedp.Do(b.ctx, steps...))
}

// must ends the test if what was done in the tab did not succeed.
func (b *tab) must(what string, err error) {
	b.t.Helper()
	if err != nil {
		b.screenshot("failed.png")
		b.t.Fatalf("%s: %s: %v", b.name, what, err)
	}
}

func (b *tab) say(text string) {
	b.t.Helper()
	b.do("say "+text, chromedp.SendKeys("#composer textarea", text+"\r"))
}

// waitFor waits until a message is on the page and not pending any more.
func (b *tab) waitFor(text string) {
	b.t.Helper()
	quoted, _ := json.Marshal(text)
	there := fmt.Sprintf(`(%s).some(t => t === %s)`, readMessages, quoted)
	_, err := chromedp.Run(b.ctx, chromedp.Poll[bool](there, chromedp.WithPollingTimeout(patience)))
	b.must("see "+text, err)
}

// readMessages is the text of every message that has its place in the log.
const readMessages = `[...document.querySelectorAll('#messages [id^="m"] .text')].map(e => e.textContent)`

func (b *tab) messages() []string {
	b.t.Helper()
	texts, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](readMessages))
	b.must("read the page", err)
	return texts
}

// screenshot keeps a picture of the page where ARTIFACTS says, for people.
func (b *tab) screenshot(name string) {
	dir := os.Getenv("ARTIFACTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, b.name+"-"+name), png, 0o644)
	}
	if err != nil {
		b.t.Logf("screenshot: %v", err)
	}
}
