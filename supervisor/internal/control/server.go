package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// ErrNoDeploy says that there is no deploy of that id, or none any more.
var ErrNoDeploy = errors.New("no such deploy")

// Backend is what the API operates. Its methods may be called concurrently.
type Backend interface {
	Status(ctx context.Context) (Status, error)

	// Reload asks for a deploy of every program and returns its id.
	Reload(ctx context.Context) (id string, err error)

	// Follow calls each with every step of a deploy until its verdict.
	// [ErrNoDeploy] if there is none of that id.
	Follow(ctx context.Context, id string, each func(Step) error) error
}

// Server answers operators.
type Server struct {
	Backend Backend
	Log     *slog.Logger
}

// stopTime is how long answers in flight may take at the end; the verdict of a
// deploy that the stop rejected is among them.
const stopTime = 2 * time.Second

// Serve answers on l until ctx ends and then closes it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("POST /v1/reload", s.reload)
	mux.HandleFunc("GET /v1/deploys/{id}/steps", s.steps)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the control socket: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if server.Shutdown(stop) != nil {
		server.Close()
	}
	<-served
	return nil
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	status, err := s.Backend.Status(r.Context())
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, status)
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	id, err := s.Backend.Reload(r.Context())
	if err != nil {
		refuse(w, err)
		return
	}
	s.Log.Info("reload requested", "deploy", id, "by", "control")
	answer(w, Requested{ID: id})
}

// Requested answers a request for a deploy.
type Requested struct {
	ID string `json:"id"`
}

func (s *Server) steps(w http.ResponseWriter, r *http.Request) {
	lines := json.NewEncoder(w)
	flush := http.NewResponseController(w)
	err := s.Backend.Follow(r.Context(), r.PathValue("id"), func(step Step) error {
		if err := lines.Encode(step); err != nil {
			return err
		}
		return flush.Flush()
	})
	if errors.Is(err, ErrNoDeploy) {
		refuse(w, err)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // the operator who left need not be told
}

// problem is the body of an answer that refuses.
type problem struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if errors.Is(err, ErrNoDeploy) {
		status = http.StatusNotFound
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(problem{err.Error()})
}
