package mongo

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// wordsOf returns the words under which a post is found. There is always one,
// so that a post of an older build, without any, can be told.
func wordsOf(text string) []string {
	if words := chat.Words(text); len(words) > 0 {
		return words
	}
	return []string{""}
}

// follow does what events that are stored ask for. There is no transaction: who
// fails here has their append repeated, by its nonce, and it is done then.
func (s *Store) follow(ctx context.Context, stored []chat.Appended) error {
	for i := range stored {
		var err error
		switch e := &stored[i].Event; {
		case e.Of == 0:
		case e.Kind == wire.EventDel:
			err = s.erase(ctx, e)
		case e.Kind == wire.EventEdit:
			err = s.reword(ctx, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// erase takes away what a del takes away.
func (s *Store) erase(ctx context.Context, del *chat.Event) error {
	_, err := s.events.UpdateMany(ctx,
		bson.D{{Key: "room", Value: del.Room}, {Key: "of", Value: del.Of}, {Key: "kind", Value: string(wire.EventEdit)}},
		set(bson.D{{Key: "text", Value: ""}}))
	if err != nil {
		return err
	}
	_, err = s.events.UpdateOne(ctx,
		bson.D{{Key: "room", Value: del.Room}, {Key: "seq", Value: del.Of}},
		set(bson.D{{Key: "text", Value: ""}, {Key: "words", Value: wordsOf("")}, {Key: "rev", Value: del.Seq}}))
	return err
}

// reword makes a post found by its latest text, whoever else edits it now: the
// one who has seen most wins. An edit that came behind a del is erased.
func (s *Store) reword(ctx context.Context, edit *chat.Event) error {
	posts, err := s.find(ctx, bson.D{{Key: "room", Value: edit.Room}, {Key: "seq", Value: edit.Of}})
	if err != nil || len(posts) == 0 || posts[0].Kind != string(wire.EventPost) {
		return err
	}
	about, err := s.findAbout(ctx, edit.Room, []int64{edit.Of})
	if err != nil {
		return err
	}
	post := chat.Fold(eventsOf(posts), eventsOf(about))[0]
	if post.Deleted {
		_, err = s.events.UpdateOne(ctx, bson.D{{Key: "room", Value: edit.Room}, {Key: "seq", Value: edit.Seq}}, set(bson.D{{Key: "text", Value: ""}}))
		return err
	}
	_, err = s.events.UpdateOne(ctx,
		bson.D{{Key: "room", Value: edit.Room}, {Key: "seq", Value: edit.Of}, {Key: "rev", Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$gte", Value: post.Rev}}}}}},
		set(bson.D{{Key: "words", Value: wordsOf(post.Text)}, {Key: "rev", Value: post.Rev}}))
	return err
}

func set(fields bson.D) bson.D { return bson.D{{Key: "$set", Value: fields}} }

// PostsBefore is [chat.PostStore]'s.
func (s *Store) PostsBefore(ctx context.Context, room string, seq int64, limit int) ([]chat.Event, error) {
	posts, err := s.postPage(ctx, room, bson.D{{Key: "$lt", Value: seq}}, -1, limit)
	slices.Reverse(posts)
	return posts, err
}

// PostsAfter is [chat.PostStore]'s.
func (s *Store) PostsAfter(ctx context.Context, room string, seq int64, limit int) ([]chat.Event, error) {
	return s.postPage(ctx, room, bson.D{{Key: "$gt", Value: seq}}, 1, limit)
}

func (s *Store) postPage(ctx context.Context, room string, seqs bson.D, order, limit int, further ...bson.E) ([]chat.Event, error) {
	if limit < 1 {
		return nil, s.readFault(ctx, ctx.Err()) // to MongoDB 0 is no limit
	}
	filter := bson.D{{Key: "room", Value: room}, {Key: "seq", Value: seqs}, {Key: "kind", Value: string(wire.EventPost)}}
	documents, err := s.find(ctx, append(filter, further...),
		options.Find().SetSort(bson.D{{Key: "seq", Value: order}}).SetLimit(int64(limit)).SetBatchSize(int32(min(limit, maxPage))))
	if err != nil {
		return nil, s.readFault(ctx, err)
	}
	return eventsOf(documents), nil
}

// About is [chat.PostStore]'s.
func (s *Store) About(ctx context.Context, room string, posts []int64) ([]chat.Event, error) {
	if len(posts) == 0 {
		return nil, s.readFault(ctx, ctx.Err())
	}
	documents, err := s.findAbout(ctx, room, posts)
	if err != nil {
		return nil, s.readFault(ctx, err)
	}
	return eventsOf(documents), nil
}

func (s *Store) findAbout(ctx context.Context, room string, posts []int64) ([]eventDocument, error) {
	return s.find(ctx, bson.D{{Key: "room", Value: room}, {Key: "of", Value: bson.D{{Key: "$in", Value: posts}}}},
		options.Find().SetSort(bson.D{{Key: "seq", Value: 1}}).SetBatchSize(maxPage))
}

// Stored is [chat.PostStore]'s.
func (s *Store) Stored(ctx context.Context, room, author, nonce string) (chat.Event, error) {
	found, err := s.find(ctx, bson.D{{Key: "room", Value: room}, {Key: "author", Value: author}, {Key: "nonce", Value: nonce}})
	switch {
	case err != nil:
		return chat.Event{}, s.readFault(ctx, err)
	case len(found) == 0:
		return chat.Event{}, fmt.Errorf("event of a nonce: %w", chat.ErrNotFound)
	}
	return found[0].event(), nil
}

// Search is [chat.PostStore]'s. An expression that is anchored, without case to
// ignore, is read from the index on words.
func (s *Store) Search(ctx context.Context, room string, words []string, before int64, limit int) ([]chat.Event, error) {
	if len(words) == 0 {
		return nil, s.readFault(ctx, ctx.Err())
	}
	var all bson.A
	for _, w := range words {
		all = append(all, bson.D{{Key: "words", Value: bson.D{{Key: "$regex", Value: "^" + regexp.QuoteMeta(w)}}}})
	}
	return s.postPage(ctx, room, bson.D{{Key: "$lt", Value: before}}, -1, limit, bson.E{Key: "$and", Value: all})
}

// Expire is [chat.PostStore]'s.
func (s *Store) Expire(ctx context.Context, room string, before time.Time, keep, limit int) (voided int, last int64, err error) {
	upTo, err := s.floor(ctx, room, before, keep)
	if err != nil || upTo == 0 || limit < 1 {
		return 0, 0, s.readFault(ctx, err)
	}
	kept := func(upTo int64) bson.D {
		return bson.D{{Key: "room", Value: room}, {Key: "seq", Value: bson.D{{Key: "$lte", Value: upTo}}},
			{Key: "kind", Value: bson.D{{Key: "$ne", Value: string(wire.EventVoid)}}}}
	}
	documents, err := s.find(ctx, kept(upTo), options.Find().SetSort(bson.D{{Key: "seq", Value: 1}}).SetLimit(int64(limit)).SetProjection(headFields))
	if err != nil || len(documents) == 0 {
		return 0, 0, s.readFault(ctx, err)
	}
	last = documents[len(documents)-1].Seq
	done, err := s.events.UpdateMany(ctx, kept(last), voiding())
	if s.wrote(err) != nil {
		return 0, 0, fmt.Errorf("expire: %w", s.fault(ctx, err))
	}
	return int(done.ModifiedCount), last, nil
}

// voiding is the update to what [chat.Event.Void] leaves.
func voiding() bson.D {
	var gone bson.D
	for _, field := range []string{"of", "emoji", "on", "words", "rev"} {
		gone = append(gone, bson.E{Key: field, Value: ""})
	}
	return append(set(bson.D{{Key: "kind", Value: string(wire.EventVoid)}, {Key: "name", Value: ""}, {Key: "text", Value: ""}}),
		bson.E{Key: "$unset", Value: gone})
}

// floor is the last seq that the limits exclude, 0 if there is none.
func (s *Store) floor(ctx context.Context, room string, before time.Time, keep int) (upTo int64, err error) {
	down := func() *options.FindOptionsBuilder {
		return options.Find().SetSort(bson.D{{Key: "seq", Value: -1}}).SetLimit(1).SetProjection(headFields)
	}
	var found []eventDocument
	if !before.IsZero() {
		old := bson.D{{Key: "room", Value: room}, {Key: "at", Value: bson.D{{Key: "$lt", Value: bson.NewDateTimeFromTime(before)}}}}
		if found, err = s.find(ctx, old, down()); err != nil {
			return 0, err
		}
	}
	if keep > 0 {
		posts := bson.D{{Key: "room", Value: room}, {Key: "kind", Value: string(wire.EventPost)}}
		more, err := s.find(ctx, posts, down().SetSkip(int64(keep)))
		if err != nil {
			return 0, err
		}
		found = append(found, more...)
	}
	for _, d := range found {
		upTo = max(upTo, d.Seq)
	}
	return upTo, nil
}

// readDocument is how far a user has read a room.
type readDocument struct {
	Room string `bson:"room"`
	Seq  int64  `bson:"seq"`
}

// PutReads is [chat.PostStore]'s.
func (s *Store) PutReads(ctx context.Context, reads []chat.Read) error {
	for _, r := range reads {
		err := s.putRead(ctx, r)
		if driver.IsDuplicateKeyError(err) { // two were put at once where there was none
			err = s.putRead(ctx, r)
		}
		if err != nil {
			return fmt.Errorf("put reads: %w", s.fault(ctx, err))
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put reads: %w", err)
	}
	return nil
}

func (s *Store) putRead(ctx context.Context, r chat.Read) error {
	_, err := s.reads.UpdateOne(ctx,
		bson.D{{Key: "_id", Value: r.Room + "/" + r.User}},
		bson.D{
			{Key: "$max", Value: bson.D{{Key: "seq", Value: r.Seq}}},
			{Key: "$setOnInsert", Value: bson.D{{Key: "user", Value: r.User}, {Key: "room", Value: r.Room}}},
		}, options.UpdateOne().SetUpsert(true))
	return err
}

// Reads is [chat.PostStore]'s.
func (s *Store) Reads(ctx context.Context, user string) (map[string]int64, error) {
	cursor, err := s.reads.Find(ctx, bson.D{{Key: "user", Value: user}})
	if err != nil {
		return nil, s.readFault(ctx, err)
	}
	var documents []readDocument
	if err := cursor.All(ctx, &documents); err != nil {
		return nil, s.readFault(ctx, err)
	}
	reads := make(map[string]int64, len(documents))
	for _, d := range documents {
		reads[d.Room] = d.Seq
	}
	return reads, nil
}

// How posts of an older build get their words: so many at a time, with a pause.
const (
	indexChunk = 100
	indexPause = 20 * time.Millisecond
	indexRetry = 5 * time.Second
)

// indexAll gives words to posts that have none, until there are none of those or
// ctx ends. Others may do the same at once.
func (s *Store) indexAll(ctx context.Context) {
	for {
		n, err := s.indexSome(ctx)
		wait := indexPause
		switch {
		case err != nil:
			wait = indexRetry
		case n == 0:
			return
		}
		if sleep(ctx, wait) != nil {
			return
		}
	}
}

func (s *Store) indexSome(ctx context.Context) (int, error) {
	lacking := bson.D{{Key: "kind", Value: string(wire.EventPost)}, {Key: "words", Value: bson.D{{Key: "$exists", Value: false}}}}
	posts, err := s.find(ctx, lacking, options.Find().SetLimit(indexChunk))
	if err != nil {
		return 0, err
	}
	for _, d := range posts {
		place := bson.D{{Key: "room", Value: d.Room}, {Key: "seq", Value: d.Seq}}
		_, err := s.events.UpdateOne(ctx, append(place, lacking...), set(bson.D{{Key: "words", Value: wordsOf(d.Text)}}))
		if err != nil {
			return 0, errors.Join(ctx.Err(), err)
		}
	}
	return len(posts), nil
}
