package ws

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/coder/websocket"
)

// Client is the client's end of a connection, for tests and load. Its methods
// may be called concurrently, Read by one goroutine at a time.
type Client struct{ lib *websocket.Conn }

// DialOptions of [Dial]. The zero value is usable.
type DialOptions struct {
	Header    http.Header  // sent with the handshake: Cookie, Origin
	HTTP      *http.Client // who connects; nil: http.DefaultClient
	ReadLimit int64        // bytes of one message; 0: no limit
}

// Dial connects to a ws, wss, http or https URL. The response is there also
// when the server refused; of its body at most 1024 bytes can be read.
func Dial(ctx context.Context, url string, o DialOptions) (*Client, *http.Response, error) {
	lib, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: o.Header, HTTPClient: o.HTTP})
	if err != nil {
		return nil, resp, fmt.Errorf("ws: dial: %w", err)
	}
	if o.ReadLimit == 0 {
		o.ReadLimit = -1
	}
	lib.SetReadLimit(o.ReadLimit)
	return &Client{lib}, resp, nil
}

// Read returns the next message, or *[CloseError] when the server closed. When
// ctx ends the connection is closed.
func (c *Client) Read(ctx context.Context) ([]byte, error) {
	_, data, err := c.lib.Read(ctx)
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return nil, &CloseError{Code: int(closed.Code), Reason: closed.Reason}
	}
	return data, err
}

// Write sends a message. When ctx ends the connection is closed.
func (c *Client) Write(ctx context.Context, t Type, p []byte) error {
	return c.lib.Write(ctx, websocket.MessageType(t), p)
}

// Close says goodbye and waits a few seconds for the answer.
func (c *Client) Close(code int, reason string) error {
	return c.lib.Close(websocket.StatusCode(code), reason)
}

// CloseNow ends the connection without a word.
func (c *Client) CloseNow() error { return c.lib.CloseNow() }
