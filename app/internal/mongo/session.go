package mongo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// sweepEvery is how often a process deletes the sessions that have ended. A
// process does it rather than the server, whose clock may be another and which
// may not know how.
const sweepEvery = 10 * time.Minute

// sweepLimit is how long whoever puts a session may wait for that.
const sweepLimit = time.Second

// sessionDocument is a session under its token's hash.
type sessionDocument struct {
	Hash      []byte        `bson:"_id"`
	User      string        `bson:"user"`
	Name      string        `bson:"name"`
	CreatedAt bson.DateTime `bson:"created_at"`
	ExpiresAt bson.DateTime `bson:"expires_at"`
	SeenAt    int64         `bson:"seen_at"` // Unix milliseconds, 0 for never; not in documents of older builds
	Agent     string        `bson:"agent"`
	Retired   bool          `bson:"retired"`
}

func documentOfSession(session chat.Session) sessionDocument {
	return sessionDocument{
		Hash: session.TokenHash[:], User: session.User.ID, Name: session.User.Name,
		CreatedAt: bson.DateTime(session.CreatedAt.UnixMilli()), ExpiresAt: bson.DateTime(session.ExpiresAt.UnixMilli()),
		SeenAt: chat.Millis(session.SeenAt), Agent: session.Agent, Retired: session.Retired,
	}
}

func (d sessionDocument) session() chat.Session {
	s := chat.Session{
		User:      chat.User{ID: d.User, Name: d.Name},
		CreatedAt: chat.Moment(int64(d.CreatedAt)), ExpiresAt: chat.Moment(int64(d.ExpiresAt)),
		SeenAt: chat.Moment(d.SeenAt), Agent: d.Agent, Retired: d.Retired,
	}
	copy(s.TokenHash[:], d.Hash)
	return s
}

// PutSession is [chat.Store]'s. Now and then it also deletes the sessions that
// have ended.
func (s *Store) PutSession(ctx context.Context, session chat.Session) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put session: %w", err)
	}
	if err := s.wrote(s.putSession(ctx, session)); err != nil {
		return fmt.Errorf("put session: %w", s.fault(ctx, err))
	}
	s.sweep(ctx)
	return nil
}

// sweep deletes the sessions that have ended, if nobody has for a while. Nobody
// gets them anyway: what it does not come to is left to a later one.
func (s *Store) sweep(ctx context.Context) {
	now, last := s.now().UnixMilli(), s.swept.Load()
	if now-last < sweepEvery.Milliseconds() || !s.swept.CompareAndSwap(last, now) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	s.sessions.DeleteMany(ctx, s.ended())
}

func (s *Store) putSession(ctx context.Context, session chat.Session) error {
	replace := func() error {
		_, err := s.sessions.ReplaceOne(ctx, byHash(session.TokenHash), documentOfSession(session), options.Replace().SetUpsert(true))
		return err
	}
	err := replace()
	if driver.IsDuplicateKeyError(err) { // two were put at once where there was none
		err = replace()
	}
	return err
}

// ended are the sessions that nobody gets any more.
func (s *Store) ended() bson.D {
	return bson.D{{Key: "expires_at", Value: bson.D{{Key: "$lte", Value: bson.NewDateTimeFromTime(s.now())}}}}
}

func byHash(hash [32]byte) bson.D { return bson.D{{Key: "_id", Value: hash[:]}} }

// Session is [chat.Store]'s.
func (s *Store) Session(ctx context.Context, tokenHash [32]byte) (chat.Session, error) {
	var d sessionDocument
	err := s.sessions.FindOne(ctx, byHash(tokenHash)).Decode(&d)
	if errors.Is(err, driver.ErrNoDocuments) || err == nil && s.now().UnixMilli() >= int64(d.ExpiresAt) {
		return chat.Session{}, fmt.Errorf("session: %w", chat.ErrNotFound)
	}
	if err != nil {
		return chat.Session{}, s.readFault(ctx, err)
	}
	return d.session(), nil
}

// DeleteSession is [chat.Store]'s.
func (s *Store) DeleteSession(ctx context.Context, tokenHash [32]byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	_, err := s.sessions.DeleteOne(ctx, byHash(tokenHash))
	if err := s.wrote(err); err != nil {
		return fmt.Errorf("delete session: %w", s.fault(ctx, err))
	}
	return nil
}
