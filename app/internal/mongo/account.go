package mongo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// editTries bounds how often an edit is tried that another one overtakes.
const editTries = 20

// Names of the indexes of accounts, and of what is told of changes to them.
const (
	keyIndex     = "name_key"
	userIndex    = "user"
	changedIndex = "at"
)

func accountIndexes() []index {
	return []index{{keyIndex, bson.D{{Key: "name_key", Value: 1}}, unique}}
}

func changeIndexes() []index {
	return []index{{changedIndex, bson.D{{Key: "at", Value: 1}}, repeating}}
}

// accountDocument is an account under its user's id. Times are Unix milliseconds,
// 0 for never.
type accountDocument struct {
	User      string `bson:"_id"`
	Name      string `bson:"name"`
	Key       string `bson:"name_key"` // see keyOf
	Password  string `bson:"password"`
	Admin     bool   `bson:"admin"`
	CreatedAt int64  `bson:"created_at"`
	BannedAt  int64  `bson:"banned_at"`
	DeletedAt int64  `bson:"deleted_at"`
	Version   int64  `bson:"version"` // counts the edits
}

// nameless begins the key of an account that keeps no name: the index, which not
// every server can have of some documents only, wants one of each. No name has
// such a key.
const nameless = "\x00"

func keyOf(a chat.Account) string {
	if a.Key == "" {
		return nameless + a.User.ID
	}
	return a.Key
}

func accountOf(d accountDocument) chat.Account {
	a := chat.Account{
		User: chat.User{ID: d.User, Name: d.Name}, Key: d.Key, Password: d.Password, Admin: d.Admin,
		CreatedAt: chat.Moment(d.CreatedAt), BannedAt: chat.Moment(d.BannedAt), DeletedAt: chat.Moment(d.DeletedAt),
	}
	if d.Key == nameless+d.User {
		a.Key = ""
	}
	return a
}

// Account is [chat.Accounts]'s.
func (s *Store) Account(ctx context.Context, userID string) (chat.Account, error) {
	return s.readAccount(ctx, bson.D{{Key: "_id", Value: userID}})
}

// AccountByKey is [chat.Accounts]'s.
func (s *Store) AccountByKey(ctx context.Context, key string) (chat.Account, error) {
	return s.readAccount(ctx, bson.D{{Key: "name_key", Value: key}})
}

func (s *Store) readAccount(ctx context.Context, filter bson.D) (chat.Account, error) {
	var d accountDocument
	err := s.accounts.FindOne(ctx, filter).Decode(&d)
	if errors.Is(err, driver.ErrNoDocuments) {
		return chat.Account{}, fmt.Errorf("account: %w", chat.ErrNotFound)
	}
	if err != nil {
		return chat.Account{}, s.readFault(ctx, err)
	}
	return accountOf(d), nil
}

// EditAccount is [chat.Accounts]'s. Its edit is applied to the version it has
// seen, and again if there is another one by then.
func (s *Store) EditAccount(ctx context.Context, userID string, edit func(*chat.Account) error) (chat.Account, error) {
	for range editTries {
		a, err := s.tryEdit(ctx, userID, edit)
		if !errors.Is(err, errOvertaken) {
			return a, err
		}
	}
	return chat.Account{}, fmt.Errorf("edit account: %w: others edit it all the time", chat.ErrUnavailable)
}

// errOvertaken: the account is not any more as it was read.
var errOvertaken = errors.New("overtaken by another edit")

func (s *Store) tryEdit(ctx context.Context, userID string, edit func(*chat.Account) error) (chat.Account, error) {
	var d accountDocument
	err := s.accounts.FindOne(ctx, bson.D{{Key: "_id", Value: userID}}).Decode(&d)
	if err != nil && !errors.Is(err, driver.ErrNoDocuments) {
		return chat.Account{}, s.readFault(ctx, err)
	}
	d.User = userID
	a := accountOf(d)
	if err := edit(&a); err != nil {
		return chat.Account{}, fmt.Errorf("edit account: %w", err)
	}
	a.User.ID = userID
	if err := s.wantFree(ctx, a); err != nil {
		return chat.Account{}, err
	}
	err = s.replaceAccount(ctx, d.Version, accountDocument{
		User: userID, Name: a.User.Name, Key: keyOf(a), Password: a.Password, Admin: a.Admin, Version: d.Version + 1,
		CreatedAt: chat.Millis(a.CreatedAt), BannedAt: chat.Millis(a.BannedAt), DeletedAt: chat.Millis(a.DeletedAt),
	})
	if driver.IsDuplicateKeyError(err) { // another edit was quicker: the next try finds out with what
		err = errOvertaken
	}
	if err != nil && !errors.Is(err, errOvertaken) {
		err = fmt.Errorf("edit account: %w", s.fault(ctx, s.wrote(err)))
	}
	a.CreatedAt, a.BannedAt, a.DeletedAt = chat.AsKept(a.CreatedAt), chat.AsKept(a.BannedAt), chat.AsKept(a.DeletedAt)
	return a, err
}

// replaceAccount stores a document in the place of that version, 0 for none.
func (s *Store) replaceAccount(ctx context.Context, version int64, d accountDocument) error {
	if version == 0 {
		_, err := s.accounts.InsertOne(ctx, d)
		return err
	}
	result, err := s.accounts.ReplaceOne(ctx, bson.D{{Key: "_id", Value: d.User}, {Key: "version", Value: version}}, d)
	if err == nil && result.MatchedCount == 0 {
		return errOvertaken
	}
	return err
}

// wantFree tells whether another account keeps the name. Only the index promises
// that none does a moment later; but not every server's error names it.
func (s *Store) wantFree(ctx context.Context, a chat.Account) error {
	if a.Key == "" {
		return nil
	}
	holder, err := s.AccountByKey(ctx, a.Key)
	switch {
	case err == nil && holder.User.ID != a.User.ID:
		return fmt.Errorf("edit account: %w", chat.ErrNameKept)
	case err != nil && !errors.Is(err, chat.ErrNotFound):
		return err
	}
	return nil
}

// EachAccount is [chat.Accounts]'s.
func (s *Store) EachAccount(ctx context.Context, do func(chat.Account) error) error {
	return eachDocument(ctx, s, s.accounts, bson.D{}, nil, func(d accountDocument) error { return do(accountOf(d)) })
}

// eachDocument calls do with every document that a filter lets through.
func eachDocument[D any](ctx context.Context, s *Store, c *driver.Collection, filter bson.D, order bson.D, do func(D) error) error {
	o := options.Find()
	if order != nil {
		o = o.SetSort(order)
	}
	cursor, err := c.Find(ctx, filter, o)
	if err != nil {
		return s.readFault(ctx, err)
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		var d D
		if err := cursor.Decode(&d); err != nil {
			return s.readFault(ctx, err)
		}
		if err := do(d); err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	return s.readFault(ctx, cursor.Err())
}

// UserSessions is [chat.Accounts]'s.
func (s *Store) UserSessions(ctx context.Context, userID string) (all []chat.Session, err error) {
	filter := bson.D{{Key: "user", Value: userID}, {Key: "expires_at", Value: bson.D{{Key: "$gt", Value: bson.NewDateTimeFromTime(s.now())}}}}
	err = eachDocument(ctx, s, s.sessions, filter, bson.D{{Key: "created_at", Value: -1}}, func(d sessionDocument) error {
		all = append(all, d.session())
		return nil
	})
	return all, err
}

// UpdateSession is [chat.Accounts]'s.
func (s *Store) UpdateSession(ctx context.Context, session chat.Session) error {
	filter := append(byHash(session.TokenHash), bson.E{Key: "expires_at", Value: bson.D{{Key: "$gt", Value: bson.NewDateTimeFromTime(s.now())}}})
	set := bson.D{
		{Key: "name", Value: session.User.Name},
		{Key: "seen_at", Value: chat.Millis(session.SeenAt)},
		{Key: "agent", Value: session.Agent},
	}
	if session.Retired {
		set = append(set, bson.E{Key: "retired", Value: true})
	}
	earlier := bson.D{{Key: "expires_at", Value: bson.NewDateTimeFromTime(session.ExpiresAt)}}
	var matched int64
	err := s.repeatable(ctx, "update session", func() error {
		result, err := s.sessions.UpdateOne(ctx, filter, bson.D{{Key: "$set", Value: set}, {Key: "$min", Value: earlier}})
		if err == nil {
			matched = result.MatchedCount
		}
		return err
	})
	if err == nil && matched == 0 {
		return fmt.Errorf("update session: %w", chat.ErrNotFound)
	}
	return err
}

// DeleteSessions is [chat.Accounts]'s.
func (s *Store) DeleteSessions(ctx context.Context, userID string, keep ...[32]byte) error {
	hashes := bson.A{}
	for _, hash := range keep {
		hashes = append(hashes, hash[:])
	}
	return s.repeatable(ctx, "delete sessions", func() error {
		_, err := s.sessions.DeleteMany(ctx, bson.D{
			{Key: "user", Value: userID},
			{Key: "_id", Value: bson.D{{Key: "$nin", Value: hashes}}},
		})
		return err
	})
}

// Anonymise is [chat.Accounts]'s.
func (s *Store) Anonymise(ctx context.Context, userID, name string) error {
	rooms, err := s.Rooms(ctx)
	if err != nil {
		return fmt.Errorf("anonymise: %w", err)
	}
	for _, r := range rooms { // room and author begin an index
		err := s.repeatable(ctx, "anonymise", func() error {
			_, err := s.events.UpdateMany(ctx,
				bson.D{{Key: "room", Value: r.Room}, {Key: "author", Value: userID}},
				bson.D{{Key: "$set", Value: bson.D{{Key: "name", Value: name}}}})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// repeatable does a write that may be done again.
func (s *Store) repeatable(ctx context.Context, doing string, write func() error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if err := s.wrote(write()); err != nil {
		return fmt.Errorf("%s: %w", doing, s.fault(ctx, err))
	}
	return nil
}

// changeDocument is the last change of a subject.
type changeDocument struct {
	Subject string        `bson:"_id"`
	At      bson.DateTime `bson:"at"`
	Mark    int64         `bson:"mark"` // random: two of one moment differ
}

// Tell is [chat.Accounts]'s.
func (s *Store) Tell(ctx context.Context, subject string) error {
	now := s.now()
	replace := func() error {
		_, err := s.changes.ReplaceOne(ctx, bson.D{{Key: "_id", Value: subject}},
			changeDocument{subject, bson.NewDateTimeFromTime(now), rand.Int64()}, options.Replace().SetUpsert(true))
		return err
	}
	return s.repeatable(ctx, "tell of a change", func() error {
		old := bson.NewDateTimeFromTime(now.Add(-chat.ChangesKept))
		_, err := s.changes.DeleteMany(ctx, bson.D{{Key: "at", Value: bson.D{{Key: "$lt", Value: old}}}})
		if err != nil {
			return err
		}
		if err = replace(); driver.IsDuplicateKeyError(err) { // two told where nothing was told
			err = replace()
		}
		return err
	})
}

// Changes is [chat.Accounts]'s.
func (s *Store) Changes(ctx context.Context, since time.Time) (all []chat.Change, err error) {
	filter := bson.D{{Key: "at", Value: bson.D{{Key: "$gte", Value: bson.NewDateTimeFromTime(since)}}}}
	err = eachDocument(ctx, s, s.changes, filter, bson.D{{Key: "at", Value: 1}}, func(d changeDocument) error {
		all = append(all, chat.Change{Subject: d.Subject, At: chat.Moment(int64(d.At)), Mark: d.Mark})
		return nil
	})
	return all, err
}
