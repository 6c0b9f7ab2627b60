package metrics

import (
	"context"
	"errors"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/web"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

func scrape(m *Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestEverythingIsCounted(t *testing.T) {
	m := New(web.Build{Version: "v9", Commit: "abc"})
	m.Connections(func() web.Census { return web.Census{Waiting: 1, Talking: 2, Held: 3} })
	m.Committed(5, 2, 3*time.Millisecond, nil)
	m.Committed(4, 0, time.Millisecond, chat.ErrUnavailable)
	m.Resumed(chat.ResumedWhole, 7)
	m.Resumed(chat.ResumedReset, 50)
	m.Delivered(time.Millisecond)
	m.Repaired(6)
	m.Refused(wire.CodeGone)
	m.Slow()
	m.Moved()
	m.NotMoved()
	m.Recovered()
	m.PasswordShed()
	got := scrape(m)
	for _, want := range []string{
		`simpletalk_build_info{commit="abc",version="v9"} 1`,
		`simpletalk_connections{state="waiting"} 1`, `simpletalk_connections{state="talking"} 2`, `simpletalk_connections{state="held"} 3`,
		`simpletalk_append_seconds_count 1`, `simpletalk_append_group_size_sum 5`, `simpletalk_requests_total 5`, `simpletalk_duplicate_nonces_total 2`,
		`simpletalk_requests_not_stored_total 4`, `simpletalk_resumes_total{outcome="resumed"} 1`, `simpletalk_resumes_total{outcome="reset"} 1`,
		`simpletalk_resumes_total{outcome="new"} 0`, `simpletalk_replayed_events_total 57`, `simpletalk_delivery_seconds_count 1`, `simpletalk_repaired_events_total 6`,
		`simpletalk_naks_total{code="gone"} 1`, `simpletalk_slow_clients_total 1`, `simpletalk_password_checks_shed_total 1`,
		`simpletalk_handover_connections_total{outcome="moved"} 1`, `simpletalk_handover_connections_total{outcome="failed"} 1`, `simpletalk_handover_connections_total{outcome="recovered"} 1`,
		"go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(want)).MatchString(got) {
			t.Errorf("there is no line %s", want)
		}
	}
}

func TestTheStoreIsMeasured(t *testing.T) {
	m := New(web.Build{})
	s := m.Store(chat.NewMemory())
	draft := chat.Draft{Room: "secret-room", Kind: wire.EventPost, User: chat.User{ID: "u", Name: "Ann"}, Nonce: "n", Text: "hello"}
	if a, err := s.Append(t.Context(), []chat.Draft{draft}); err != nil || a[0].Event.Seq != 1 {
		t.Fatalf("append: %+v, %v", a, err)
	}
	s.After(t.Context(), "secret-room", 0, 1)
	s.Before(t.Context(), "secret-room", 9, 1)
	s.PostsBefore(t.Context(), "secret-room", 9, 1)
	s.PostsAfter(t.Context(), "secret-room", 0, 1)
	s.About(t.Context(), "secret-room", []int64{1})
	if found, err := s.Search(t.Context(), "secret-room", []string{"hello"}, 9, 1); err != nil || len(found) != 1 {
		t.Errorf("search: %+v, %v", found, err)
	}
	s.PutReads(t.Context(), nil)
	s.Ping(t.Context())
	if _, err := s.Session(t.Context(), [32]byte{}); !errors.Is(err, chat.ErrNotFound) {
		t.Errorf("session: %v", err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	s.Append(late, []chat.Draft{draft})
	got := scrape(m)
	for _, want := range []string{
		`simpletalk_store_seconds_count{op="append"} 2`, `simpletalk_store_errors_total{op="append"} 1`, `simpletalk_store_seconds_count{op="after"} 1`, `simpletalk_store_seconds_count{op="before"} 1`,
		`simpletalk_store_seconds_count{op="posts"} 2`, `simpletalk_store_seconds_count{op="about"} 1`, `simpletalk_store_seconds_count{op="search"} 1`,
		`simpletalk_store_seconds_count{op="put_reads"} 1`, `simpletalk_store_seconds_count{op="ping"} 1`, `simpletalk_store_seconds_count{op="session"} 1`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no line %s", want)
		}
	}
	if strings.Contains(got, "secret-room") || strings.Contains(got, `errors_total{op="session"}`) {
		t.Error("a room is named, or what is not found is an error")
	}
}
