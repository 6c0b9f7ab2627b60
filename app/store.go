//go:build linux

package main

import (
	"context"
	"log/slog"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/mongo"
	"github.com/simpletalk/simpletalk/app/internal/sqlite"
)

// openStore opens MongoDB if a URI names one, else the embedded store.
func openStore(ctx context.Context, c config, log *slog.Logger) (chat.Archive, error) {
	if c.mongo != "" {
		s, err := mongo.Open(ctx, c.mongo, mongo.Options{Log: log})
		return orNone(s, err)
	}
	s, err := sqlite.Open(ctx, c.data, sqlite.Options{})
	return orNone(s, err)
}

// orNone keeps a nil pointer from becoming a store.
func orNone[S chat.Archive](s S, err error) (chat.Archive, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
