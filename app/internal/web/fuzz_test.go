package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
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

// accountRequests are those of an account with a body.
var accountRequests = [][2]string{
	{"POST", "/api/session"}, {"POST", "/api/account"}, {"PUT", "/api/account/password"}, {"DELETE", "/api/account"},
}

// FuzzAccounts: whoever says whatever about an account, there is an identity or an
// error that can be shown.
func FuzzAccounts(f *testing.F) {
	for _, body := range []string{
		`{"name":"Ann"}`, `{"name":"Ann","password":"` + password + `"}`, `{"password":"` + password + `","code":""}`,
		`{"old":"` + password + `","new":"` + another + `"}`, `{"password":null}`, `{"name":"\u202e"}`, `null`, `{"name":"\ud800"}`, "{\"name\":\"\xff\"}",
		`{"name":{"name":"Ann"}}`, `{"NAME":"ann","name":"bob"}`, strings.Repeat("[", 5000), `{"password":"` + strings.Repeat("x", 129) + `"}`,
	} {
		for i := range accountRequests {
			f.Add(uint8(i), i%2 == 0, body)
		}
	}
	h := open(f, chat.NewMemory())
	guests := 0
	f.Fuzz(func(t *testing.T, which uint8, guest bool, body string) {
		r := accountRequests[int(which)%len(accountRequests)]
		req := httptest.NewRequest(r[0], r[1], strings.NewReader(body))
		req.RemoteAddr = "127.0.0.1:1" // which speaks for nobody, and has no budget
		req.Header.Set("Content-Type", "application/json")
		if guest {
			guests++ // whose names may be kept
			token, _, err := h.server.o.Auth.SignIn(t.Context(), auth.Visit{}, fmt.Sprint("Guest ", guests))
			if err != nil {
				t.Fatal(err)
			}
			req.AddCookie(&http.Cookie{Name: cookiePlain, Value: token})
		}
		w := httptest.NewRecorder()
		h.server.http.Handler.ServeHTTP(w, req)
		checkAccountAnswer(t, w.Result(), w.Body.String())
	})
}

// checkAccountAnswer wants an identity and its cookie, or an error and none.
func checkAccountAnswer(t *testing.T, resp *http.Response, body string) {
	t.Helper()
	var got struct {
		User, Name string
		Error      *struct{ Code, Msg string }
	}
	switch {
	case resp.StatusCode == http.StatusNoContent && body == "":
		return
	case json.Unmarshal([]byte(body), &got) != nil || !utf8.ValidString(body) || strings.ContainsAny(body, "<>\x00\u202e"):
		t.Fatalf("answer %d %q", resp.StatusCode, body)
	case resp.StatusCode == http.StatusOK:
		if name, err := auth.CheckName(got.Name); err != nil || name != got.Name || got.User == "" || len(resp.Cookies()) != 1 {
			t.Fatalf("answer %s, %v, cookies %v", body, err, resp.Cookies())
		}
	case got.Error == nil || statuses[kind(got.Error.Code)] != resp.StatusCode || got.Error.Msg == "" || len(resp.Cookies()) != 0:
		t.Fatalf("answer %d %s, cookies %v", resp.StatusCode, body, resp.Cookies())
	case resp.StatusCode == http.StatusInternalServerError:
		t.Fatalf("answer %s", body)
	}
}
