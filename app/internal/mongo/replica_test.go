package mongo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
)

// What FerretDB cannot show, since it is one server without write concerns: the
// tests here look at the commands that go out, and make the answers that come
// back those of a replica set.

// bodyOf returns the document of a message: the first section of an OP_MSG
// (after header, flags and kind), or the one of an OP_REPLY (after its header of
// 36 bytes).
func bodyOf(m []byte) (head []byte, body bson.Raw) {
	at := 36
	if binary.LittleEndian.Uint32(m[12:16]) == 2013 {
		at = 21
	}
	n := binary.LittleEndian.Uint32(m[at:])
	return m[:at], bson.Raw(m[at : at+int(n)])
}

// answerWith returns a message with fields of its document set.
func answerWith(t *testing.T, m []byte, fields ...bson.E) []byte {
	t.Helper()
	head, body := bodyOf(m)
	var d bson.D
	if err := bson.Unmarshal(body, &d); err != nil {
		t.Errorf("an answer cannot be read: %v", err)
		return m
	}
	for _, f := range fields {
		d = append(without(d, f.Key), f)
	}
	b, err := bson.Marshal(d)
	if err != nil {
		t.Errorf("an answer cannot be written: %v", err)
		return m
	}
	m = append(append([]byte{}, head...), b...)
	binary.LittleEndian.PutUint32(m, uint32(len(m)))
	return m
}

func without(d bson.D, key string) bson.D {
	var rest bson.D
	for _, e := range d {
		if e.Key != key {
			rest = append(rest, e)
		}
	}
	return rest
}

// TestConcerns: whatever a URI asks for, writes wait for the journals of a
// majority, reads see what a majority has and go to the primary, and an
// insert has an end on the server too.
func TestConcerns(t *testing.T) {
	proxy := mongotest.Between(t, mongotest.Start(t).Addr())
	var mu sync.Mutex
	seen := map[string]bson.Raw{}
	proxy.Record(func(command string, question []byte) {
		if command == "hello" { // some are of an older kind, and none promises anything
			return
		}
		mu.Lock()
		defer mu.Unlock()
		_, body := bodyOf(question)
		seen[command] = append(bson.Raw{}, body...)
		for _, preference := range []string{"secondary", "secondaryPreferred", "nearest"} {
			if strings.Contains(body.String(), preference) {
				t.Errorf("%s may be answered by a secondary: %s", command, body)
			}
		}
	})
	s := openURI(t, proxy.URI("chat")+"?w=0&journal=false&readConcernLevel=local&readPreference=nearest")
	defer s.Close()
	if _, err := s.Append(t.Context(), posts("lobby", "n", 2)); err != nil {
		t.Fatal(err)
	}
	if err := s.PutSession(t.Context(), chat.Session{ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteSession(t.Context(), [32]byte{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rooms(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, command := range []string{"insert", "update", "delete", "createIndexes"} {
		w, _ := seen[command].Lookup("writeConcern", "w").StringValueOK()
		j, _ := seen[command].Lookup("writeConcern", "j").BooleanOK()
		if w != "majority" || !j {
			t.Errorf("%s is sent with the write concern %v", command, seen[command].Lookup("writeConcern"))
		}
	}
	for _, command := range []string{"find", "aggregate"} {
		if level, _ := seen[command].Lookup("readConcern", "level").StringValueOK(); level != "majority" {
			t.Errorf("%s is sent with the read concern %v", command, seen[command].Lookup("readConcern"))
		}
	}
	if _, err := seen["insert"].LookupErr("maxTimeMS"); err != nil {
		t.Errorf("insert is sent without an end: %s", seen["insert"])
	}
}

// TestNotYetAMajority: an insert that no majority has confirmed is not
// acknowledged; it is when it is repeated, and found by a read of what a majority
// has.
func TestNotYetAMajority(t *testing.T) {
	s, proxy, _ := behindProxy(t)
	timeout := bson.D{{Key: "code", Value: int32(64)}, {Key: "codeName", Value: "WriteConcernFailed"}, {Key: "errmsg", Value: "waiting for replication timed out"}}
	proxy.Rewrite(func(command string, answer []byte) []byte {
		if command != "insert" {
			return answer
		}
		return answerWith(t, answer, bson.E{Key: "writeConcernError", Value: timeout})
	})
	if _, err := s.Append(t.Context(), posts("lobby", "n", 3)); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("got %v, want chat.ErrUnavailable", err)
	}
	if got, err := s.Append(t.Context(), posts("lobby", "n", 3)); err != nil || !got[2].Duplicate {
		t.Errorf("with both errors in one answer: %+v, %v", got, err)
	}
	if _, err := s.Append(t.Context(), posts("lobby", "later", 1)); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("got %v, want chat.ErrUnavailable", err)
	}
	proxy.Rewrite(nil)
	got, err := s.Append(t.Context(), append(posts("lobby", "later", 1), posts("lobby", "m", 1)...))
	if err != nil || !got[0].Duplicate || got[0].Event.Seq != 4 || got[1].Event.Seq != 5 {
		t.Errorf("repeated: %+v, %v", got, err)
	}
	wantDense(t, s, "lobby", 5)
}

// TestFullServer: what the server could not store for want of space is ErrFull
// only if nothing of it is stored.
func TestFullServer(t *testing.T) {
	s, proxy, _ := behindProxy(t)
	full := func(index int32) bson.E {
		return bson.E{Key: "writeErrors", Value: bson.A{bson.D{
			{Key: "index", Value: index}, {Key: "code", Value: int32(codeOutOfDiskSpace)}, {Key: "errmsg", Value: "no space"},
		}}}
	}
	for index, want := range map[int32]error{0: chat.ErrFull, 1: chat.ErrUnavailable} {
		proxy.Rewrite(func(command string, answer []byte) []byte {
			if command != "insert" {
				return answer
			}
			return answerWith(t, answer, bson.E{Key: "n", Value: index}, full(index))
		})
		_, err := s.Append(t.Context(), posts("lobby", fmt.Sprint("n", index), 2))
		if !errors.Is(err, want) || errors.Is(err, chat.ErrFull) && errors.Is(err, chat.ErrUnavailable) {
			t.Errorf("with %d of 2 stored: got %v, want %v", index, err, want)
		}
	}
}

// TestGroupsOfRooms: the answer of a server that can take the first of each
// group, which FerretDB cannot.
func TestGroupsOfRooms(t *testing.T) {
	s, proxy, _ := behindProxy(t)
	at := time.Now().UTC().Truncate(time.Millisecond)
	var asked atomic.Int32
	proxy.Rewrite(func(command string, answer []byte) []byte {
		if command != "aggregate" {
			return answer
		}
		asked.Add(1)
		room := func(name string, seq int64) bson.D {
			return bson.D{{Key: "_id", Value: name}, {Key: "seq", Value: seq}, {Key: "at", Value: bson.NewDateTimeFromTime(at)}}
		}
		cursor := bson.D{{Key: "id", Value: int64(0)}, {Key: "ns", Value: "chat.events"}, {Key: "firstBatch", Value: bson.A{room("a", 3), room("b", 1)}}}
		head, _ := bodyOf(answer)
		empty, _ := bson.Marshal(bson.D{{Key: "ok", Value: 1.0}})
		return answerWith(t, append(append([]byte{}, head...), empty...), bson.E{Key: "cursor", Value: cursor})
	})
	for range 2 {
		got, err := s.Rooms(t.Context())
		if err != nil || len(got) != 2 || got[0].Room != "a" || got[0].Head != 3 || got[1].Room != "b" || !got[1].At.Equal(at) {
			t.Errorf("rooms = %+v, %v", got, err)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("the server was asked %d times, want 2", asked.Load())
	}
}

// replicas make one FerretDB look like a replica set of two: each proxy is a
// member, one of them the primary.
type replicas struct {
	members [2]*mongotest.Proxy
	primary atomic.Int32
	term    atomic.Int32
}

func newReplicas(t *testing.T, server *mongotest.Server) *replicas {
	r := &replicas{}
	for i := range r.members {
		r.members[i] = mongotest.Between(t, server.Addr())
	}
	for i, m := range r.members {
		m.Rewrite(func(command string, answer []byte) []byte { return r.answer(t, int32(i), command, answer) })
		m.Fates(func(command string) mongotest.Fate {
			if r.primary.Load() != int32(i) && isWrite(command) {
				return mongotest.CutBefore // a secondary writes nothing; see answer for reads
			}
			return mongotest.Pass
		})
	}
	return r
}

func isWrite(command string) bool {
	return command == "insert" || command == "update" || command == "delete"
}

// answer makes a member's answers those of a primary or a secondary.
func (r *replicas) answer(t *testing.T, i int32, command string, answer []byte) []byte {
	primary := r.primary.Load() == i
	switch strings.ToLower(command) {
	case "hello", "ismaster":
		var election bson.ObjectID
		binary.BigEndian.PutUint32(election[8:], uint32(r.term.Load()))
		hosts := bson.A{r.members[0].Addr(), r.members[1].Addr()}
		fields := []bson.E{
			{Key: "setName", Value: "rs0"}, {Key: "setVersion", Value: int32(1)}, {Key: "hosts", Value: hosts},
			{Key: "me", Value: r.members[i].Addr()}, {Key: "secondary", Value: !primary},
			{Key: "ismaster", Value: primary}, {Key: "isWritablePrimary", Value: primary},
			{Key: "logicalSessionTimeoutMinutes", Value: int32(30)},
		}
		if primary {
			fields = append(fields, bson.E{Key: "electionId", Value: election})
		}
		return answerWith(t, answer, fields...)
	case "find", "aggregate", "listindexes":
		if !primary {
			return answerWith(t, answer, bson.E{Key: "ok", Value: 0.0}, bson.E{Key: "code", Value: int32(10107)},
				bson.E{Key: "codeName", Value: "NotWritablePrimary"}, bson.E{Key: "errmsg", Value: "not primary"})
		}
	}
	return answer
}

// elect makes the other member the primary.
func (r *replicas) elect() {
	r.term.Add(1)
	r.primary.Store(1 - r.primary.Load())
}

// TestElections: the primary changes again and again while two stores append.
// What is not acknowledged is repeated; in the end each event is there once.
func TestElections(t *testing.T) {
	t.Parallel() // it waits most of the time
	const elections = 4
	set := newReplicas(t, mongotest.Start(t))
	uri := "mongodb://" + set.members[0].Addr() + "," + set.members[1].Addr() + "/chat?replicaSet=rs0"
	stop := make(chan struct{})
	var appending sync.WaitGroup
	var appended atomic.Int64
	var first *Store
	for w := range 2 {
		s := openURI(t, uri)
		defer s.Close()
		if w == 0 {
			first = s
		}
		appending.Go(func() {
			for b := 0; ; b++ {
				select {
				case <-stop:
					return
				default:
				}
				drafts := posts("lobby", fmt.Sprintf("%d-%d", w, b), 2)
				for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
					_, err := s.Append(t.Context(), drafts)
					if err == nil {
						appended.Add(2)
						break
					}
					if !errors.Is(err, chat.ErrUnavailable) || time.Now().After(end) {
						t.Errorf("append: %v", err)
						return
					}
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	if kind, err := first.topology(t.Context()); err != nil || kind != replicaSet {
		t.Fatalf("the topology is %q, %v", kind, err)
	}
	for range elections {
		before := appended.Load()
		eventually(t, "events are appended", func() bool { return appended.Load() > before+4 })
		set.elect()
		set.members[1-set.primary.Load()].Cut() // as a primary does that steps down
	}
	before := appended.Load()
	eventually(t, "events are appended after the last election", func() bool { return appended.Load() > before+4 })
	close(stop)
	appending.Wait()
	wantDense(t, first, "lobby", int(appended.Load()))
	t.Logf("%d events through %d elections", appended.Load(), elections)
}
