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
func openStore(ctx context.Context, c config, log *slog.Logger) (chat.Store, error) {
	if c.mongo != "" {
		return mongo.Open(ctx, c.mongo, mongo.Options{Log: log})
	}
	return sqlite.Open(ctx, c.data, sqlite.Options{})
}
