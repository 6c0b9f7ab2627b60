package mongo

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

var _ chat.Archive = (*Store)(nil)

// Restore is [chat.Archive]'s. Unlike Append it repeats nothing by itself: what
// was stored of an attempt may be restored again.
func (s *Store) Restore(ctx context.Context, events []chat.Event) error {
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("restore: %w: %w", chat.ErrUnavailable, ctx.Err())
	}
	for len(events) > 0 {
		n := min(len(events), maxInsert)
		if err := s.restore(ctx, events[:n]); err != nil {
			s.tails.clear()
			return fmt.Errorf("restore: %w", err)
		}
		events = events[n:]
	}
	return nil
}

// restore inserts what follows on the tails; what is behind them must be there.
func (s *Store) restore(ctx context.Context, events []chat.Event) error {
	var documents []eventDocument
	behind := map[string][]chat.Event{}
	tails := map[string]tail{}
	for _, e := range events {
		last, known := tails[e.Room]
		if !known {
			var err error
			if last, err = s.knownTail(ctx, e.Room); err != nil {
				return s.fault(ctx, err)
			}
		}
		if 0 < e.Seq && e.Seq <= last.seq && !known {
			behind[e.Room] = append(behind[e.Room], e)
			continue
		}
		if err := e.Follows(last.seq, last.at); err != nil {
			return err
		}
		tails[e.Room] = tail{e.Seq, e.At.UnixMilli()}
		documents = append(documents, documentOf(e))
	}
	for room, events := range behind {
		if err := s.wantStored(ctx, room, events); err != nil {
			return err
		}
	}
	return s.insertAsTheyAre(ctx, documents)
}

func (s *Store) insertAsTheyAre(ctx context.Context, documents []eventDocument) error {
	if len(documents) == 0 {
		return nil
	}
	_, err := s.events.InsertMany(ctx, documents)
	if err := s.wrote(err); driver.IsDuplicateKeyError(err) {
		var told driver.BulkWriteException
		if errors.As(err, &told) && len(told.WriteErrors) > 0 {
			return documents[told.WriteErrors[0].Index].event().StoredElsewhere()
		}
		return fmt.Errorf("events of another process: %w", chat.ErrConflict)
	} else if err != nil {
		return s.fault(ctx, err)
	}
	var stored []chat.Appended
	for _, d := range documents {
		s.tails.set(d.Room, tail{d.Seq, int64(d.At)})
		stored = append(stored, chat.Appended{Event: d.event()})
	}
	return s.fault(ctx, s.wrote(s.follow(ctx, stored)))
}

// wantStored tells which of a room's events is not the one in its place.
func (s *Store) wantStored(ctx context.Context, room string, events []chat.Event) error {
	var seqs bson.A
	for _, e := range events {
		seqs = append(seqs, e.Seq)
	}
	documents, err := s.find(ctx, bson.D{{Key: "room", Value: room}, {Key: "seq", Value: bson.D{{Key: "$in", Value: seqs}}}})
	if err != nil {
		return s.fault(ctx, err)
	}
	stored := map[int64]chat.Event{}
	for _, d := range documents {
		stored[d.Seq] = d.event()
	}
	for _, e := range events {
		if err := e.Repeats(stored[e.Seq]); err != nil {
			return err
		}
	}
	return nil
}

// EachSession is [chat.Archive]'s.
func (s *Store) EachSession(ctx context.Context, do func(chat.Session) error) error {
	cursor, err := s.sessions.Find(ctx, bson.D{{Key: "expires_at", Value: bson.D{{Key: "$gt", Value: bson.NewDateTimeFromTime(s.now())}}}},
		options.Find().SetBatchSize(1000))
	if err != nil {
		return s.readFault(ctx, err)
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		var d sessionDocument
		if err := cursor.Decode(&d); err != nil {
			return s.readFault(ctx, err)
		}
		if err := do(d.session()); err != nil {
			return fmt.Errorf("sessions: %w", err)
		}
	}
	return s.readFault(ctx, cursor.Err())
}

// Adopt is [chat.Archive]'s.
func (s *Store) Adopt(ctx context.Context, epoch string) error {
	err := s.wantEmpty(ctx)
	var no refusal
	if errors.As(err, &no) {
		return fmt.Errorf("adopt: epoch %s %w: there are events", epoch, chat.ErrConflict)
	}
	if err == nil {
		_, err = s.meta.UpdateOne(ctx, bson.D{{Key: "_id", Value: logID}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "epoch", Value: epoch}}}})
		s.wrote(err)
	}
	if err != nil {
		return fmt.Errorf("adopt: %w", s.fault(ctx, err))
	}
	s.epoch.Store(&epoch)
	return nil
}
