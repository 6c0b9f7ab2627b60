package web

import (
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzBody: whatever comes, there is a name or an error that can be shown.
func FuzzBody(f *testing.F) {
	for _, s := range []string{`{"name":"Ann"}`, ``, `{`, `[]`, `{"name":5}`, `{"nick":1}`, `{"name":"A"}x`, "\xff", `{"name":"\ud800"}`} {
		f.Add("application/json", s)
	}
	f.Add("text/plain", `{"name":"Ann"}`)
	f.Fuzz(func(t *testing.T, media, body string) {
		r := httptest.NewRequest("POST", "/api/session", strings.NewReader(body))
		r.Header.Set("Content-Type", media)
		var v struct{ Name string }
		err := readBody(httptest.NewRecorder(), r, &v)
		var api *apiError
		if err != nil && (!errors.As(err, &api) || statuses[api.kind] == 0 || api.msg == "" || !utf8.ValidString(api.msg)) {
			t.Fatalf("error %#v", err)
		}
		if err == nil && !utf8.ValidString(v.Name) {
			t.Fatalf("name %q", v.Name)
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"after=1", "before=9&limit=5", "limit=x", "after=-1", "after=1&before=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		g, err := parseRange(q)
		var api *apiError
		if err != nil && !errors.As(err, &api) {
			t.Fatalf("error %#v", err)
		}
		if err == nil && (g.limit < 0 || g.limit > 200 || g.after != nil && g.before != nil) {
			t.Fatalf("span %+v", g)
		}
	})
}
