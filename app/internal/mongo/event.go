package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// eventDocument is an event in the collection of events. Its _id is the
// driver's and means nothing.
type eventDocument struct {
	Room   string        `bson:"room"`
	Seq    int64         `bson:"seq"`
	At     bson.DateTime `bson:"at"`
	Kind   string        `bson:"kind"`
	Author string        `bson:"author"`
	Name   string        `bson:"name"` // of the author, at the time
	Nonce  string        `bson:"nonce"`
	Text   string        `bson:"text"`

	Of    int64  `bson:"of,omitempty"` // the seq of a post
	Emoji string `bson:"emoji,omitempty"`
	On    bool   `bson:"on,omitempty"`

	Words []string `bson:"words,omitempty"` // of a post, see [Store.Search]
}

func documentOf(e chat.Event) eventDocument {
	d := eventDocument{
		Room: e.Room, Seq: e.Seq, At: bson.DateTime(e.At.UnixMilli()), Kind: string(e.Kind),
		Author: e.User.ID, Name: e.User.Name, Nonce: e.Nonce, Text: e.Text,
		Of: e.Of, Emoji: e.Emoji, On: e.On,
	}
	if e.Kind == wire.EventPost {
		d.Words = wordsOf(e.Text)
	}
	return d
}

func (d eventDocument) event() chat.Event {
	return chat.Event{
		Room: d.Room, Seq: d.Seq, At: chat.Moment(int64(d.At)), Kind: wire.EventKind(d.Kind),
		User: chat.User{ID: d.Author, Name: d.Name}, Nonce: d.Nonce, Text: d.Text,
		Of: d.Of, Emoji: d.Emoji, On: d.On,
	}
}

// maxPage is how many events one answer of the server may hold: a page of the
// chat, or of an export, is read in one round.
const maxPage = 1000

// After is [chat.Store]'s.
func (s *Store) After(ctx context.Context, room string, seq int64, limit int) ([]chat.Event, error) {
	return s.page(ctx, room, bson.D{{Key: "$gt", Value: seq}}, 1, limit)
}

// Before is [chat.Store]'s.
func (s *Store) Before(ctx context.Context, room string, seq int64, limit int) ([]chat.Event, error) {
	events, err := s.page(ctx, room, bson.D{{Key: "$lt", Value: seq}}, -1, limit)
	slices.Reverse(events)
	return events, err
}

func (s *Store) page(ctx context.Context, room string, seqs bson.D, order, limit int) ([]chat.Event, error) {
	if limit < 1 {
		return nil, s.readFault(ctx, ctx.Err()) // to MongoDB 0 is no limit
	}
	documents, err := s.find(ctx, bson.D{{Key: "room", Value: room}, {Key: "seq", Value: seqs}},
		options.Find().SetSort(bson.D{{Key: "seq", Value: order}}).SetLimit(int64(limit)).SetBatchSize(int32(min(limit, maxPage))))
	if err != nil {
		return nil, s.readFault(ctx, err)
	}
	return eventsOf(documents), nil
}

func eventsOf(documents []eventDocument) []chat.Event {
	events := make([]chat.Event, len(documents))
	for i, d := range documents {
		events[i] = d.event()
	}
	return events
}

func (s *Store) find(ctx context.Context, filter bson.D, opts ...options.Lister[options.FindOptions]) ([]eventDocument, error) {
	cursor, err := s.events.Find(ctx, filter, opts...)
	if err != nil {
		return nil, err
	}
	var documents []eventDocument
	err = cursor.All(ctx, &documents) // closes it
	return documents, err
}

// Head is [chat.Store]'s.
func (s *Store) Head(ctx context.Context, room string) (int64, error) {
	last, err := s.tail(ctx, room)
	if err != nil {
		return 0, s.readFault(ctx, err)
	}
	return last.seq, nil
}

// tail reads where a room's log ends: the zero tail if it has none.
func (s *Store) tail(ctx context.Context, room string) (tail, error) {
	var d eventDocument
	err := s.events.FindOne(ctx, bson.D{{Key: "room", Value: room}},
		options.FindOne().SetSort(bson.D{{Key: "seq", Value: -1}}).SetProjection(headFields)).Decode(&d)
	if errors.Is(err, driver.ErrNoDocuments) {
		return tail{}, nil
	}
	return tail{d.Seq, int64(d.At)}, err
}

// headFields are those of the last event that a head tells.
var headFields = bson.D{{Key: "room", Value: 1}, {Key: "seq", Value: 1}, {Key: "at", Value: 1}}

// groupState is whether the server can take the first of each group, which a
// compatible server may lack.
type groupState = int32

const (
	groupsUntried groupState = iota
	groupsLacking
)

// Rooms is [chat.Store]'s.
func (s *Store) Rooms(ctx context.Context) ([]chat.RoomHead, error) {
	if s.groups.Load() != groupsLacking {
		heads, err := s.roomsByGroup(ctx)
		if !hasCode(err, codeNotImplemented, codeNotSupported, codeUnknownGroup, codeCommandNotFound) {
			return heads, s.readFault(ctx, err)
		}
		s.groups.Store(groupsLacking)
	}
	heads, err := s.roomsOneByOne(ctx)
	return heads, s.readFault(ctx, err)
}

// roomsPipeline takes the first of each room in the order of the index, which
// MongoDB does by jumping from room to room in it (DISTINCT_SCAN).
func roomsPipeline() driver.Pipeline {
	first := func(field string) bson.D { return bson.D{{Key: "$first", Value: "$" + field}} }
	return driver.Pipeline{
		{{Key: "$sort", Value: bson.D{{Key: "room", Value: 1}, {Key: "seq", Value: -1}}}},
		{{Key: "$group", Value: bson.D{{Key: "_id", Value: "$room"}, {Key: "seq", Value: first("seq")}, {Key: "at", Value: first("at")}}}},
		{{Key: "$sort", Value: bson.D{{Key: "_id", Value: 1}}}},
	}
}

func (s *Store) roomsByGroup(ctx context.Context) ([]chat.RoomHead, error) {
	cursor, err := s.events.Aggregate(ctx, roomsPipeline())
	if err != nil {
		return nil, err
	}
	var groups []struct {
		Room string        `bson:"_id"`
		Seq  int64         `bson:"seq"`
		At   bson.DateTime `bson:"at"`
	}
	if err := cursor.All(ctx, &groups); err != nil {
		return nil, err
	}
	var heads []chat.RoomHead
	for _, g := range groups {
		heads = append(heads, chat.RoomHead{Room: g.Room, Head: g.Seq, At: chat.Moment(int64(g.At))})
	}
	return heads, nil
}

// roomsOneByOne asks for the first of the next room until there is none.
func (s *Store) roomsOneByOne(ctx context.Context) (heads []chat.RoomHead, err error) {
	next := options.FindOne().SetSort(bson.D{{Key: "room", Value: 1}, {Key: "seq", Value: -1}}).SetProjection(headFields)
	for after := ""; ; {
		var d eventDocument
		err := s.events.FindOne(ctx, bson.D{{Key: "room", Value: bson.D{{Key: "$gt", Value: after}}}}, next).Decode(&d)
		if errors.Is(err, driver.ErrNoDocuments) {
			return heads, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the room after %q: %w", after, err)
		}
		heads = append(heads, chat.RoomHead{Room: d.Room, Head: d.Seq, At: chat.Moment(int64(d.At))})
		after = d.Room
	}
}
