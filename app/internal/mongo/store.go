package mongo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// Options of a [Store]. The zero value holds the defaults.
type Options struct {
	// Now is the clock for the times of events and the end of sessions. nil
	// means time.Now.
	Now func() time.Time
	// Log is told what an operator should know. nil: nobody is.
	Log *slog.Logger
}

// closeWait is how long Close waits for what is under way.
const closeWait = 2 * time.Second

// Store is a [chat.Store] in a MongoDB database, which other processes on other
// hosts may have open too. Beyond the interface's guarantees:
//
//  1. Append repeats what a cut connection left unknown, as long as its context
//     lets it. What was stored by an attempt of its own may then be marked
//     Duplicate.
//  2. On an error of Append some first part of the batch may be stored, in
//     order and without a hole. ErrFull tells that none is.
//
// Guarantee 5 of the interface is the primary's: one that has been replaced and
// does not know yet may for some seconds show an older state.
//
// Its methods may be called concurrently; after Close they fail.
type Store struct {
	client   *driver.Client
	hosts    string
	database string
	now      func() time.Time
	epoch    atomic.Pointer[string]

	events, sessions, meta, reads *driver.Collection
	accounts, changes             *driver.Collection

	stopIndexing context.CancelFunc
	indexing     sync.WaitGroup

	turn     chan struct{} // whoever has taken the one value appends, and owns what follows
	tails    *tails
	courtesy courtesy
	guarded  time.Time // when the schema was last found in place

	write  atomic.Int32 // a writeState
	groups atomic.Int32 // a groupState
	swept  atomic.Int64 // when ended sessions were last deleted, Unix milliseconds
}

var _ chat.Store = (*Store)(nil)

// writeState is whether the last write succeeded: if not, nothing less than a
// write shows that the trouble is over.
type writeState = int32

const (
	writesWork writeState = iota
	writesFail
)

// Open connects to the database that a URI names and makes what is missing
// there. Its errors are one line that shows no secret. They wrap
// chat.ErrUnavailable when no server can be reached or written now.
func Open(ctx context.Context, uri string, opts Options) (*Store, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s, err := connect(uri, opts)
	if err != nil {
		return nil, fmt.Errorf("open MongoDB: %w", err)
	}
	if err := s.load(ctx, opts.Log); err != nil {
		s.disconnect()
		return nil, fmt.Errorf("open MongoDB: %w", err)
	}
	indexing, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopIndexing = stop
	s.indexing.Go(func() { s.indexAll(indexing) })
	return s, nil
}

// connect makes the client, which reaches out in the background.
func connect(uri string, opts Options) (*Store, error) {
	c, err := parseURI(uri)
	if err != nil {
		return nil, fmt.Errorf("connection string: %w", err)
	}
	client, err := driver.Connect(c.client)
	if err != nil {
		parts, _ := splitURI(uri) // parseURI could
		return nil, fmt.Errorf("connection string: %w", parts.blame(err))
	}
	db := client.Database(c.database)
	s := &Store{
		client: client, hosts: c.hosts, database: c.database, now: opts.Now,
		events: db.Collection("events"), sessions: db.Collection("sessions"), meta: db.Collection("meta"), reads: db.Collection("reads"),
		accounts: db.Collection("accounts"), changes: db.Collection("changes"),
		turn: make(chan struct{}, 1), tails: newTails(),
	}
	s.turn <- struct{}{}
	return s, nil
}

// load looks at the server and the database.
func (s *Store) load(ctx context.Context, log *slog.Logger) error {
	kind, err := s.topology(ctx)
	if err != nil {
		return s.fault(ctx, err)
	}
	log.Info("store is MongoDB", "hosts", s.hosts, "database", s.database, "topology", kind)
	if kind == standalone {
		log.Warn("MongoDB is a standalone server: what is acknowledged is on one disk only; make it a replica set, of one member at first")
	}
	err = s.migrate(ctx)
	s.guarded = time.Now()
	var no refusal
	if errors.As(err, &no) {
		return fmt.Errorf("%s: database %s: %w", s.hosts, s.database, no)
	}
	return s.fault(ctx, err)
}

// topology is how the servers stand to each other.
type topology string

const (
	standalone topology = "standalone"
	replicaSet topology = "replica set"
	sharded    topology = "sharded cluster"
)

// topology asks the server that is written to.
func (s *Store) topology(ctx context.Context) (topology, error) {
	var hello struct {
		SetName string `bson:"setName"`
		Msg     string `bson:"msg"`
	}
	err := s.client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello)
	switch {
	case err != nil:
		return "", err
	case hello.SetName != "":
		return replicaSet, nil
	case hello.Msg == "isdbgrid":
		return sharded, nil
	default:
		return standalone, nil
	}
}

// Epoch is [chat.Store]'s.
func (s *Store) Epoch() string { return *s.epoch.Load() }

// Ping is [chat.Store]'s. It asks the primary whether the log and its indexes
// are there, and writes if the last write failed.
func (s *Store) Ping(ctx context.Context) error {
	err := s.wantSchema(ctx)
	if err == nil && s.write.Load() == writesFail {
		err = s.probe(ctx)
	}
	if err != nil {
		return fmt.Errorf("ping: %w", s.fault(ctx, err))
	}
	return nil
}

// probe writes what nobody reads.
func (s *Store) probe(ctx context.Context) error {
	_, err := s.meta.UpdateOne(ctx,
		bson.D{{Key: "_id", Value: logID}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "written_at", Value: bson.NewDateTimeFromTime(s.now())}}}})
	return s.wrote(err)
}

// wrote remembers whether a write succeeded.
func (s *Store) wrote(err error) error {
	if err == nil {
		s.write.Store(writesWork)
	} else {
		s.write.Store(writesFail)
	}
	return err
}

// Close is [chat.Store]'s.
func (s *Store) Close() error {
	s.stopIndexing()
	s.indexing.Wait()
	if err := s.disconnect(); err != nil {
		return fmt.Errorf("close MongoDB: %w", err)
	}
	return nil
}

func (s *Store) disconnect() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	return s.client.Disconnect(ctx)
}
