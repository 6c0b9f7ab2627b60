package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/mongo"
	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
	"github.com/simpletalk/simpletalk/app/internal/sqlite"
	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func silent(int64, int64) {}

// filled is a store with rooms, odd texts and sessions.
func filled(t *testing.T, s chat.Archive) chat.Archive {
	t.Helper()
	texts := []string{"", "a\nb", "\x00", "<b>&amp;</b>", "\u2028 👩‍👩‍👧‍👦 \U0010ffff", `"\`, strings.Repeat("🙂", 4000)}
	for room, n := range map[string]int{"lobby": 620, "den": 3, "a-b_c": 1} {
		var drafts []chat.Draft
		for i := range n {
			drafts = append(drafts, chat.Draft{
				Room: room, Kind: "post", User: chat.User{ID: fmt.Sprint("u-", i%3), Name: "Ñandú 🙂"},
				Nonce: fmt.Sprint("n-", i), Text: texts[i%7],
			})
		}
		if _, err := s.Append(t.Context(), drafts); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		session := chat.Session{
			TokenHash: [32]byte{byte(i), 31: 0xff}, User: chat.User{ID: "u-1", Name: "Ada"},
			CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
			SeenAt: time.Now(), Agent: "Browser 🙂", Retired: i == 3,
		}
		if err := s.PutSession(t.Context(), session); err != nil {
			t.Fatal(err)
		}
	}
	for i, key := range []string{"ada", "grace", ""} {
		_, err := s.EditAccount(t.Context(), fmt.Sprint("u-", i), func(a *chat.Account) error {
			a.User.Name, a.Key, a.Password, a.Admin, a.CreatedAt = "Ñandú 🙂", key, "$argon2id$…", i == 1, time.Now()
			a.BannedAt = time.Now()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

var want = Counts{Rooms: 3, Events: 624, Sessions: 5, Accounts: 3}

func export(t *testing.T, s chat.Archive) string {
	t.Helper()
	var out bytes.Buffer
	got, err := Export(t.Context(), s, &out, silent)
	if err != nil || got != want {
		t.Fatalf("export: %v, %v; want %v", got, err, want)
	}
	return out.String()
}

// stores opens a new one of each kind.
func stores(t *testing.T) map[string]func() chat.Archive {
	server := mongotest.Start(t)
	n := 0
	opened := func(s chat.Archive, err error) chat.Archive {
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	return map[string]func() chat.Archive{
		"memory": func() chat.Archive { return chat.NewMemory() },
		"SQLite": func() chat.Archive { return opened(sqlite.Open(context.Background(), t.TempDir(), sqlite.Options{})) },
		"MongoDB": func() chat.Archive {
			n++
			return opened(mongo.Open(context.Background(), server.URI(fmt.Sprint("db", n)), mongo.Options{}))
		},
	}
}

// TestFromEachToEach: whatever way a chat moves, it is the same afterwards, to
// the byte.
func TestFromEachToEach(t *testing.T) {
	all := stores(t)
	for from, openFrom := range all {
		source := filled(t, openFrom())
		stream := export(t, source)
		for to, openTo := range all {
			target := openTo()
			var done, of int64
			got, err := Import(t.Context(), strings.NewReader(stream), target, Empty, func(d, n int64) { done, of = d, n })
			if err != nil || got != want {
				t.Fatalf("%s to %s: %v, %v; want %v", from, to, got, err, want)
			}
			if done != want.Events || of != want.Events {
				t.Errorf("%s to %s: progress ended with %d of %d", from, to, done, of)
			}
			if target.Epoch() != source.Epoch() {
				t.Errorf("%s to %s: the epoch is %s, was %s", from, to, target.Epoch(), source.Epoch())
			}
			if sorted(export(t, target)) != sorted(stream) {
				t.Errorf("%s to %s: exported again it is another chat", from, to)
			}
			again, err := target.Append(t.Context(), []chat.Draft{{Room: "lobby", User: chat.User{ID: "u-0"}, Nonce: "n-0"}})
			if err != nil || !again[0].Duplicate || again[0].Event.Seq != 1 {
				t.Errorf("%s to %s: an old nonce again: %+v, %v", from, to, again, err)
			}
		}
	}
}

// sorted is a stream without its last line, whose digest depends on the order of
// the sessions.
func sorted(stream string) string {
	lines := strings.Split(strings.TrimSpace(stream), "\n")
	lines = lines[:len(lines)-1]
	for i := range lines { // few sessions and accounts: any sort will do
		for k := i; k > 0 && !strings.Contains(lines[k], `"t":"event"`) && lines[k] < lines[k-1]; k-- {
			lines[k], lines[k-1] = lines[k-1], lines[k]
		}
	}
	return strings.Join(lines, "\n")
}

func TestImportIntoWhatIsNotEmpty(t *testing.T) {
	stream := export(t, filled(t, chat.NewMemory()))
	for name, open := range stores(t) {
		s := open()
		lines := strings.SplitAfter(stream, "\n")
		_, err := Import(t.Context(), strings.NewReader(strings.Join(lines[:600], "")), s, Empty, silent)
		if !errors.Is(err, errCut) {
			t.Errorf("%s: a stream that ends early: %v", name, err)
		}
		t.Log(err)
		if _, err := Import(t.Context(), strings.NewReader(stream), s, Empty, silent); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("%s: got %v, want ErrNotEmpty", name, err)
		}
		if got, err := Import(t.Context(), strings.NewReader(stream), s, Existing, silent); err != nil || got != want {
			t.Errorf("%s: going on: %v, %v", name, got, err)
		}
		if sorted(export(t, s)) != sorted(stream) {
			t.Errorf("%s: it is another chat", name)
		}

		other := open()
		if _, err := other.Append(t.Context(), []chat.Draft{{Room: "den", User: chat.User{ID: "u-9"}, Nonce: "own"}}); err != nil {
			t.Fatal(err)
		}
		epoch := other.Epoch()
		_, err = Import(t.Context(), strings.NewReader(stream), other, Existing, silent)
		if !errors.Is(err, chat.ErrConflict) || other.Epoch() != epoch {
			t.Errorf("%s: over another event: %v, epoch %s", name, err, other.Epoch())
		}
		t.Log(err)
		if got, err := other.After(t.Context(), "den", 0, 10); err != nil || len(got) != 1 || got[0].Nonce != "own" {
			t.Errorf("%s: what was there is %v, %v", name, got, err)
		}
	}
}

// TestSpoiledStreams: nothing that was changed or cut passes for complete, and
// each has one line that says where it is wrong.
func TestSpoiledStreams(t *testing.T) {
	stream := export(t, filled(t, chat.NewMemory()))
	lines := strings.SplitAfter(stream, "\n")
	lines = lines[:len(lines)-1] // what follows on the last end is empty
	join := func(parts ...[]string) string {
		var all []string
		for _, p := range parts {
			all = append(all, p...)
		}
		return strings.Join(all, "")
	}
	end := len(lines) - 1
	for name, c := range map[string]struct{ stream, want string }{
		"empty":               {"", "line 1: the export ends here"},
		"something else":      {"id,name\n1,Ada\n", "line 1: this is no export"},
		"without a beginning": {join(lines[1:]), "line 1: this is no export"},
		"a later version":     {strings.Replace(stream, `"version":2`, `"version":3`, 1), "version 3"},
		"without an end":      {join(lines[:end]), "not complete"},
		"cut in a line":       {stream[:len(stream)/2], "not complete"},
		"cut in the last":     {stream[:len(stream)-1], "not complete"},
		"a line missing":      {join(lines[:3], lines[4:]), "line 4: event 3 of room \"den\" is out of place"},
		"a line twice":        {join(lines[:4], lines[3:]), "line 5: event 2 of room \"den\" is out of place"},
		"a session missing":   {join(lines[:end-1], lines[end:]), "was changed"},
		"a text changed":      {strings.Replace(stream, "a\\nb", "a\\nc", 1), "was changed"},
		"not JSON":            {join(lines[:9], []string{"{\"t\":\n"}, lines[9:]), "line 10: it is no JSON"},
		"an unknown type":     {join(lines[:9], []string{"{\"t\":\"x\"}\n"}, lines[9:]), "line 10: type \"x\""},
		"a bad session":       {join(lines[:9], []string{"{\"t\":\"session\",\"hash\":\"00\"}\n"}, lines[9:]), "64 hexadecimal digits"},
		"two streams":         {stream + stream, fmt.Sprintf("line %d: there is something behind", len(lines)+1)},
	} {
		_, err := Import(t.Context(), strings.NewReader(c.stream), chat.NewMemory(), Empty, silent)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	endless := io.MultiReader(strings.NewReader(lines[0]), zeros{})
	if _, err := Import(t.Context(), endless, chat.NewMemory(), Empty, silent); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a line without an end: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestImportThroughCuts: a way to the server that is cut now and then delays an
// import and changes nothing.
func TestImportThroughCuts(t *testing.T) {
	stream := export(t, filled(t, chat.NewMemory()))
	server := mongotest.Start(t)
	proxy := mongotest.Between(t, server.Addr())
	s, err := mongo.Open(t.Context(), proxy.URI("chat"), mongo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	inserts := 0
	proxy.Fates(func(command string) mongotest.Fate {
		if command != "insert" {
			return mongotest.Pass
		}
		if inserts++; inserts%3 == 0 {
			return mongotest.CutAfter
		}
		return mongotest.Pass
	})
	if got, err := Import(t.Context(), strings.NewReader(stream), s, Empty, silent); err != nil || got != want {
		t.Fatalf("%v, %v", got, err)
	}
	proxy.Fates(nil)
	if inserts < 3 || sorted(export(t, s)) != sorted(stream) {
		t.Errorf("after %d inserts it is another chat", inserts)
	}
}

// TestAWriterThatFails: a full disk under the stream is the export's error.
func TestAWriterThatFails(t *testing.T) {
	s := filled(t, chat.NewMemory())
	full := errors.New("full")
	for limit := range 3 {
		w := &limited{left: limit << 16, err: full}
		if _, err := Export(t.Context(), s, w, silent); !errors.Is(err, full) {
			t.Errorf("after %d KiB: got %v", limit<<6, err)
		}
	}
}

type limited struct {
	left int
	err  error
}

func (w *limited) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, w.err
	}
	return len(p), nil
}
