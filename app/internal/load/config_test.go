package load

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	good := Config{URL: "http://127.0.0.1:3000", Clients: 10, Chatters: 2, Rate: 5, Rooms: 3, For: time.Second, Files: 1024}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"no url", func(c *Config) { c.URL = "" }, []string{`--url "": must be http://HOST[:PORT]`}},
		{"another scheme", func(c *Config) { c.URL = "ws://h/ws" }, []string{"--url"}},
		{"a path", func(c *Config) { c.URL = "http://h/r/x" }, []string{"without a path"}},
		{"no clients", func(c *Config) { c.Clients = 0 }, []string{"--clients 0: must be 1 or more"}},
		{"too many for the descriptors", func(c *Config) { c.Clients = 1000 }, []string{"--clients 1000", "RLIMIT_NOFILE is 1024", "ulimit -n 1032", "at most 992 clients"}},
		{"no chatters", func(c *Config) { c.Chatters = 0 }, []string{"--chatters 0: must be 1 or more"}},
		{"more chatters than clients", func(c *Config) { c.Chatters = 11 }, []string{"--chatters 11: must be at most the number of --clients, 10"}},
		{"no rooms", func(c *Config) { c.Rooms = -1 }, []string{"--rooms -1: must be 1 or more"}},
		{"more rooms than clients", func(c *Config) { c.Rooms = 11 }, []string{"--rooms 11: must be at most the number of --clients, 10"}},
		{"more rooms than chatters can be in", func(c *Config) { c.Clients, c.Chatters, c.Rooms = 100, 1, 51 }, []string{"--rooms 51: must be at most 50"}},
		{"no rate", func(c *Config) { c.Rate = 0 }, []string{"--rate 0: must be more than 0"}},
		{"a rate that the server refuses", func(c *Config) { c.Rate = 41 }, []string{"--rate 41", "at least 3 chatters", "at most 40"}},
		{"no time", func(c *Config) { c.For = 0 }, []string{"--for 0s: must be more than 0", "such as 30s"}},
		{"everything", func(c *Config) { *c = Config{Files: 10} }, []string{"--url", "--clients", "--chatters", "--rooms", "--rate", "--for"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.change(&c)
			_, err := Run(t.Context(), c)
			var usage UsageError
			if !errors.As(err, &usage) {
				t.Fatalf("got %v, want a usage error", err)
			}
			if n := map[string]int{"everything": 6}[tt.name]; len(usage) != max(n, 1) {
				t.Errorf("got %d mistakes: %v", len(usage), err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("got more than a line: %q", err)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	for url, want := range map[string]string{
		"http://127.0.0.1:1": "--url http://127.0.0.1:1: nobody answers there (connection refused)",
		other.URL:            "GET /healthz is answered 404: 404 page not found: this is not the address of the chat",
	} {
		c := Config{URL: url, Clients: 1, Chatters: 1, Rate: 1, Rooms: 1, For: time.Second}
		_, err := Run(t.Context(), c)
		var usage UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a usage error with %q", err, want)
		}
	}
}

func TestSources(t *testing.T) {
	seen := map[string]bool{}
	for i := range 20000 {
		a := source(i)
		if !a.IsLoopback() || seen[a.String()] {
			t.Fatalf("source %d is %v", i, a)
		}
		seen[a.String()] = true
	}
	for i := range 3000 {
		if a := source(firstProbe + i); !a.IsLoopback() || seen[a.String()] {
			t.Fatalf("probe %d is %v", i, a)
		}
	}
	if a, b := source(0).String(), source(firstProbe-1).String(); a != "127.1.0.1" || b != "127.252.255.254" {
		t.Errorf("clients are %s to %s", a, b)
	}
}

func TestSchedule(t *testing.T) {
	ms := time.Millisecond
	for _, tt := range []struct {
		chatters, rooms int
		want            []time.Duration
	}{
		{4, 2, []time.Duration{20 * ms, 20 * ms}}, // a message each 10 ms, in turn
		{3, 2, []time.Duration{20 * ms, 30 * ms}},
		{2, 4, []time.Duration{40 * ms, 40 * ms, 40 * ms, 40 * ms}},
		{2, 3, []time.Duration{40 * ms, 20 * ms, 40 * ms}},
		{1, 1, []time.Duration{10 * ms}},
	} {
		s := schedule{tt.chatters, 100}
		for room, authors := range s.authors(tt.rooms) {
			if got := s.pause(authors, tt.rooms); got != tt.want[room] {
				t.Errorf("%d chatters in %d rooms: room %d pauses %v, want %v", tt.chatters, tt.rooms, room, got, tt.want[room])
			}
		}
	}
}
