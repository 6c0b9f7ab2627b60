package mongo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// generation counts the schemas that an older build cannot use. Within one,
// documents may only get further fields, and collections indexes that are not
// unique: old and new builds run at once.
const generation = 1

// logDocument is the one document with _id "log" in meta.
type logDocument struct {
	ID         string `bson:"_id"`
	Epoch      string `bson:"epoch"`
	Generation int    `bson:"generation"`
}

const logID = "log"

// Names of the indexes.
const (
	seqIndex    = "room_seq"
	postIndex   = "room_author_nonce"
	endedIndex  = "expires_at"
	aboutIndex  = "room_of_seq"
	wordsIndex  = "room_words"
	readerIndex = "user"
)

// eventIndexes are those without which nothing may be appended. seq descends so
// that the list of rooms and their heads is read from the index alone; pages are
// read from it either way.
func eventIndexes() []index {
	return []index{
		{seqIndex, bson.D{{Key: "room", Value: 1}, {Key: "seq", Value: -1}}, unique},
		{postIndex, bson.D{{Key: "room", Value: 1}, {Key: "author", Value: 1}, {Key: "nonce", Value: 1}}, unique},
	}
}

// furtherIndexes only make reading faster.
func furtherIndexes() []index {
	return []index{
		{aboutIndex, bson.D{{Key: "room", Value: 1}, {Key: "of", Value: 1}, {Key: "seq", Value: 1}}, repeating},
		{wordsIndex, bson.D{{Key: "room", Value: 1}, {Key: "words", Value: 1}}, repeating},
	}
}

func readIndexes() []index {
	return []index{{readerIndex, bson.D{{Key: "user", Value: 1}}, repeating}}
}

func sessionIndexes() []index {
	return []index{
		{endedIndex, bson.D{{Key: "expires_at", Value: 1}}, repeating},
		{userIndex, bson.D{{Key: "user", Value: 1}}, repeating},
	}
}

type index struct {
	name string
	keys bson.D
	kind indexKind
}

// indexKind is whether several documents may have the same keys.
type indexKind bool

const (
	unique    indexKind = true
	repeating indexKind = false
)

// lacking returns those of wanted that a collection has not.
func lacking(ctx context.Context, c *driver.Collection, wanted []index) ([]index, error) {
	there, err := c.Indexes().ListSpecifications(ctx)
	if err != nil && !hasCode(err, codeNamespaceNotFound) {
		return nil, err
	}
	return slices.DeleteFunc(wanted, func(w index) bool {
		return slices.ContainsFunc(there, func(i driver.IndexSpecification) bool {
			return i.Name == w.name && (w.kind == repeating || i.Unique != nil && *i.Unique)
		})
	}), nil
}

// makeIndexes makes those that a collection has not. Of those that are there
// nothing is asked: a user without the right to make any can open the store.
func makeIndexes(ctx context.Context, c *driver.Collection, wanted []index) error {
	missing, err := lacking(ctx, c, wanted)
	if err != nil {
		return err
	}
	for _, i := range missing {
		_, err := c.Indexes().CreateOne(ctx, driver.IndexModel{
			Keys: i.keys, Options: options.Index().SetName(i.name).SetUnique(bool(i.kind)),
		})
		if err == nil {
			continue
		}
		if still, again := lacking(ctx, c, []index{i}); again != nil || len(still) > 0 { // nobody else has made it meanwhile
			return fmt.Errorf("make index %s: %w", i.name, err)
		}
	}
	return nil
}

// refusal is why a database is not used, now or later.
type refusal string

func (r refusal) Error() string { return string(r) }

// migrate makes what is missing; it is idempotent, and several processes may
// do it at once. A database that is not ours is left alone.
func (s *Store) migrate(ctx context.Context) error {
	found, err := s.readLog(ctx)
	if err != nil {
		return err
	}
	if found == nil {
		if err := s.wantEmpty(ctx); err != nil {
			return err
		}
	} else if found.Generation != generation {
		return refusal(fmt.Sprintf("its schema is of generation %d, this build understands %d: use the build that wrote it, or a newer one", found.Generation, generation))
	}
	if err := makeIndexes(ctx, s.events, eventIndexes()); err != nil {
		return err
	}
	if err := makeIndexes(ctx, s.events, furtherIndexes()); err != nil {
		return err
	}
	for _, c := range []struct {
		of     *driver.Collection
		wanted []index
	}{{s.sessions, sessionIndexes()}, {s.accounts, accountIndexes()}, {s.changes, changeIndexes()}} {
		if err := makeIndexes(ctx, c.of, c.wanted); err != nil {
			return err
		}
	}
	if err := makeIndexes(ctx, s.reads, readIndexes()); err != nil {
		return err
	}
	return s.readOrMakeEpoch(ctx, found)
}

// readLog returns what the database says of itself, nil if it is new.
func (s *Store) readLog(ctx context.Context) (*logDocument, error) {
	var l logDocument
	err := s.meta.FindOne(ctx, bson.D{{Key: "_id", Value: logID}}).Decode(&l)
	if errors.Is(err, driver.ErrNoDocuments) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &l, nil
}

// wantEmpty refuses events that belong to no log.
func (s *Store) wantEmpty(ctx context.Context) error {
	err := s.events.FindOne(ctx, bson.D{}).Err()
	if errors.Is(err, driver.ErrNoDocuments) {
		return nil
	}
	if err != nil {
		return err
	}
	return refusal("it holds events of another program: name another database in the URI")
}

// readOrMakeEpoch: of several that make one the index on _id lets one win.
func (s *Store) readOrMakeEpoch(ctx context.Context, found *logDocument) error {
	if found == nil {
		_, err := s.meta.InsertOne(ctx, logDocument{ID: logID, Epoch: newEpoch(), Generation: generation})
		if err != nil && !driver.IsDuplicateKeyError(err) {
			return err
		}
		if found, err = s.readLog(ctx); err != nil {
			return err
		}
		if found == nil { // another's, which no majority has yet
			return fmt.Errorf("%w: it is being made by another process", chat.ErrUnavailable)
		}
	}
	s.epoch.Store(&found.Epoch)
	return nil
}

// guardEvery is how often appends look whether the schema is still in place.
const guardEvery = 10 * time.Second

// guard keeps appends off a database whose log or indexes somebody has dropped.
// The caller has the store's turn.
func (s *Store) guard(ctx context.Context) error {
	if time.Since(s.guarded) < guardEvery {
		return nil
	}
	err := s.wantSchema(ctx)
	if err == nil {
		s.guarded = time.Now()
	}
	var no refusal
	if errors.As(err, &no) {
		return err
	}
	return nil // of a server that does not answer the append will tell
}

// wantSchema tells by a refusal why nothing may be appended, nil if all is in
// place.
func (s *Store) wantSchema(ctx context.Context) error {
	l, err := s.readLog(ctx)
	switch {
	case err != nil:
		return err
	case l == nil || l.Epoch != s.Epoch():
		return refusal("it no longer holds the log that was opened: restart the chat")
	}
	missing, err := lacking(ctx, s.events, eventIndexes())
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return refusal(fmt.Sprintf("the unique index %s is missing: restart the chat to make it", missing[0].name))
	}
	return nil
}

// newEpoch names a log: 128 random bits in hex.
func newEpoch() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	return hex.EncodeToString(b[:])
}
