package uitest

import (
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/chromedp/chromedp"
)

// axeSource is axe-core, which npm ci installs beside the tests.
var axeSource = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	return string(b), err
})

// axe fails the test for each violation that axe-core finds in the page as it
// is now.
func (t *tab) axe(view string) {
	t.t.Helper()
	source, err := axeSource()
	if err != nil {
		if os.Getenv("REQUIRE_ALL") == "1" {
			t.t.Fatal("REQUIRE_ALL=1, but axe-core is not installed: npm ci, in app/internal/web/uitest")
		}
		return
	}
	if !eval[bool](t, `typeof axe === 'object'`) {
		t.do("load axe", discard(chromedp.Evaluate[any](source+";0")))
	}
	eval[int](t, atRest)
	found := eval[[]string](t, `axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v =>
		v.id + ': ' + v.help + ' at ' + v.nodes.slice(0, 3).map(n => n.target.join(' ') + ' (' + (n.any[0]?.message ?? n.all[0]?.message ?? n.none[0]?.message ?? '') + ')').join(', ')))`)
	if len(found) > 0 {
		t.t.Errorf("%s, %s: axe finds\n\t%s", t.name, view, strings.Join(found, "\n\t"))
	}
}
