package uitest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const (
	patience    = 20 * time.Second // for anything to appear on a page
	tabPatience = 3 * time.Minute  // for everything a test does with a tab
)

// skip ends the test where a part is missing, and fails it where none may be.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal("REQUIRE_ALL=1, but ", why)
	}
	t.Skip(why)
}

// buildApp builds the chat once for all tests.
var buildApp = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("uitest-app-%d", os.Getpid()))
	out, err := exec.Command("go", "build", "-o", path, "../../..").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the chat: %w: %s", err, out)
	}
	return path, nil
})

// site is a running chat: a process of its own, on a store of its own.
type site struct {
	t    *testing.T
	app  string
	addr string
	data string
	env  []string

	process *exec.Cmd
}

func openSite(t *testing.T, env ...string) *site {
	t.Helper()
	app, err := buildApp()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := &site{t: t, app: app, addr: l.Addr().String(), data: t.TempDir(), env: env}
	t.Cleanup(s.stop)
	return s
}

// start serves, and returns when it does.
func (s *site) start() *site {
	s.t.Helper()
	s.process = exec.Command(s.app, "serve", "--listen", s.addr, "--data", s.data)
	s.process.Env = append(os.Environ(), s.env...)
	s.process.Stderr = s.t.Output()
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get(s.url() + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return s
		}
	}
	s.t.Fatal("the chat does not serve")
	return nil
}

// stop ends the process as a crash would: nobody is told anything.
func (s *site) stop() {
	if s.process == nil {
		return
	}
	s.process.Process.Kill()
	s.process.Wait()
	s.process = nil
}

func (s *site) url() string { return "http://" + s.addr }

// admin does what an operator does on the command line.
func (s *site) admin(args ...string) {
	s.t.Helper()
	cmd := exec.Command(s.app, append([]string{"admin", "--data", s.data}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("admin: %v: %s", err, out)
	}
}

// fill imports n posts of several people into a room, before the start.
func (s *site) fill(room string, n int) {
	s.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, `{"t":"log","version":1,"epoch":"0123456789abcdef","rooms":1,"events":%d}`+"\n", n)
	people := []string{"Ada", "Grace", "Linus"}
	begin := time.Now().Add(-time.Duration(n) * time.Minute)
	for i := 1; i <= n; i++ {
		who := people[i/3%len(people)]
		text := fmt.Sprintf("message %d", i)
		if i%7 == 0 {
			text += strings.Repeat(" and some more words that fill a line or two", 1+i%3)
		}
		fmt.Fprintf(&b, `{"t":"event","room":%q,"seq":%d,"at":%d,"kind":"post","author":%q,"name":%q,"nonce":"n%d","text":%q}`+"\n",
			room, i, begin.Add(time.Duration(i)*time.Minute).UnixMilli(), strings.ToLower(who), who, i, text)
	}
	fmt.Fprintf(&b, `{"t":"end","rooms":1,"events":%d,"sessions":0,"sha256":"%x"}`+"\n", n, sha256.Sum256([]byte(b.String())))
	cmd := exec.Command(s.app, "import", "--data", s.data)
	cmd.Stdin = strings.NewReader(b.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("import: %v: %s", err, out)
	}
}

// look is how somebody looks at the page.
type look struct {
	width, height int64
	touch, dark   bool
}

var (
	desktop = look{width: 1280, height: 800}
	phone   = look{width: 390, height: 844, touch: true}
)

func (l look) inDark() look {
	l.dark = true
	return l
}

// browser is one Chromium process.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		skip(t, "there is no Chromium (Debian: apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:len(chromedp.DefaultExecAllocatorOptions):len(chromedp.DefaultExecAllocatorOptions)],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-component-update", true),
		// A machine without a mouse is a desktop all the same; touch is emulated per tab.
		chromedp.Flag("blink-settings", "primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"),
		chromedp.WSURLReadTimeout(tabPatience))
	bounded, cancel := context.WithTimeout(context.Background(), tabPatience)
	allocator, endProcess := chromedp.NewExecAllocator(bounded, options...)
	ctx, endTab := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		chromedp.Cancel(ctx) // waits for the process
		endTab()
		endProcess()
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return &browser{t: t, ctx: ctx}
}

// tab is one page. Each person has a browser context: cookies and storage of
// their own.
type tab struct {
	t    *testing.T
	name string
	ctx  context.Context
	look look

	mu       sync.Mutex
	problems []string // uncaught exceptions and errors on the console
}

// visit opens the page as somebody new.
func (b *browser) visit(name, url string, l look) *tab {
	b.t.Helper()
	ctx, end := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	b.t.Cleanup(end)
	return b.open(ctx, name, url, l)
}

// another opens one more tab of the same person.
func (t *tab) another(url string) *tab {
	t.t.Helper()
	ctx, end := chromedp.NewContext(t.ctx)
	t.t.Cleanup(end)
	return (&browser{t: t.t}).open(ctx, t.name, url, t.look)
}

func (b *browser) open(ctx context.Context, name, url string, l look) *tab {
	b.t.Helper()
	t := &tab{t: b.t, name: name, ctx: ctx, look: l}
	t.must("open a tab", chromedp.Do(ctx))
	t.must("listen", chromedp.Listen(ctx, t.listen))
	t.wear(l)
	t.do("navigate", chromedp.Navigate(url))
	return t
}

func (t *tab) listen(event any) {
	e, ok := event.(*runtime.EventExceptionThrown)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	text := e.ExceptionDetails.Text
	if x := e.ExceptionDetails.Exception; x != nil {
		text += " " + x.Description
	}
	t.problems = append(t.problems, text)
}

// healthy fails the test if the page has thrown anything.
func (t *tab) healthy() {
	t.t.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.problems {
		t.t.Errorf("%s: the page threw %s", t.name, p)
	}
}

func (t *tab) wear(l look) {
	t.t.Helper()
	t.look = l
	options := []chromedp.EmulateViewportOption{chromedp.EmulateScale(1)}
	if l.touch {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2))
	}
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	// Several tabs are looked at and typed into at once: each is to think that it is in front.
	t.do("wear", call(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}),
		chromedp.EmulateViewport(l.width, l.height, options...), call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		}))
}

// call is a command of DevTools as a step.
func call[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, c, params)
		return err
	})
}

func (t *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	t.t.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	t.must(what, chromedp.Do(ctx, steps...))
}

func (t *tab) must(what string, err error) {
	t.t.Helper()
	if err != nil {
		t.shot("failed-" + strings.ReplaceAll(t.t.Name(), "/", "-"))
		t.t.Fatalf("%s: %s: %v", t.name, what, err)
	}
}

// eval runs JavaScript in the page, waits for it, and returns what it gives.
func eval[T any](t *tab, js string) T {
	t.t.Helper()
	v, err := chromedp.Run(t.ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	t.must(js, err)
	return v
}

// until waits for a JavaScript condition.
func (t *tab) until(js string) {
	t.t.Helper()
	t.untilWithin(patience, js)
}

func (t *tab) untilWithin(d time.Duration, js string) {
	t.t.Helper()
	_, err := chromedp.Run(t.ctx, chromedp.Poll[bool]("Boolean("+js+")", chromedp.WithPollingInterval(30*time.Millisecond), chromedp.WithPollingTimeout(d)))
	t.must("wait for "+js, err)
}

// signIn picks the name and waits until the room is there.
func (t *tab) signIn() *tab {
	t.t.Helper()
	t.do("pick a name", chromedp.WaitVisible("#signin #name"), sendKeys("#signin #name", t.name+"\r"), chromedp.WaitVisible("#composer textarea"))
	t.live()
	return t
}

// live waits until the room on the screen is caught up.
func (t *tab) live() {
	t.t.Helper()
	t.until(`!document.querySelector('#scroller').hasAttribute('aria-busy') && !document.querySelector('#chat').hidden`)
}

func (t *tab) keys(keys string, options ...chromedp.KeyOption) {
	t.t.Helper()
	t.do("press "+keys, strike(keys, options...))
}

// atRest is a JavaScript promise: what moves has come to rest, also what was only
// about to.
const atRest = `new Promise(r => setTimeout(r, 50)).then(() =>
	Promise.all(document.getAnimations().filter(a => Number.isFinite(a.effect.getComputedTiming().endTime)).map(a => a.finished.catch(() => {})))).then(() => 0)`

func (t *tab) click(selector string) {
	t.t.Helper()
	eval[int](t, atRest) // nobody could hit what moves
	t.do("click "+selector, chromedp.Click(selector))
}

// say puts text into the composer, as a paste does, and presses Enter.
func (t *tab) say(text string) {
	t.t.Helper()
	t.do("say "+text, chromedp.Focus("#composer textarea"), call(input.InsertText, input.InsertTextParams{Text: text}), strike("\r"))
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// texts is a JavaScript expression: the messages that have their place in the
// log, in order.
const texts = `[...document.querySelectorAll('#messages [id^="m"] .text')].map(e => e.textContent)`

// sees waits until a message is on the page and confirmed.
func (t *tab) sees(text string) {
	t.t.Helper()
	t.until(fmt.Sprintf(`%s.includes(%s)`, texts, quote(text)))
}

func (t *tab) messages() []string {
	t.t.Helper()
	return eval[[]string](t, texts)
}

// node is a JavaScript expression: the message that says text.
func node(text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('#messages .message')].find(e => e.querySelector('.text').textContent === %s)`, quote(text))
}

// shot keeps a picture of the page where ARTIFACTS says, for people to look at.
func (t *tab) shot(name string) {
	dir := os.Getenv("ARTIFACTS")
	if dir == "" {
		return
	}
	chromedp.Run(t.ctx, chromedp.Evaluate[int](atRest, chromedp.EvalAwaitPromise))
	png, err := chromedp.Run(t.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		t.t.Logf("screenshot: %v", err)
	}
}
