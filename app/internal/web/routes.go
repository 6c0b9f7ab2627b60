package web

import (
	"context"
	"net/http"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// pingLimit is how long /readyz waits for the store.
const pingLimit = 2 * time.Second

// routes builds the handler: every route, then what holds for all of them.
func (s *Server) routes() (http.Handler, error) {
	csrf := http.NewCrossOriginProtection()
	for _, o := range s.o.Origins {
		if err := csrf.AddTrustedOrigin(o); err != nil {
			return nil, err
		}
	}
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, &apiError{kind: kindOrigin, msg: "a page of another site may not do this"})
	}))

	api := http.NewServeMux()
	api.HandleFunc("POST /api/session", s.postSession)
	api.HandleFunc("GET /api/session", s.getSession)
	api.HandleFunc("DELETE /api/session", s.deleteSession)
	api.HandleFunc("/api/session", s.badMethod("GET, POST, DELETE"))
	s.accountRoutes(api)
	api.HandleFunc("GET /api/rooms", s.getRooms)
	api.HandleFunc("/api/rooms", s.badMethod("GET"))
	api.HandleFunc("GET /api/rooms/{room}/events", s.getEvents)
	api.HandleFunc("/api/rooms/{room}/events", s.badMethod("GET"))
	api.HandleFunc("GET /api/rooms/{room}/search", s.getSearch)
	api.HandleFunc("/api/rooms/{room}/search", s.badMethod("GET"))
	api.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, &apiError{kind: kindNotFound, msg: "there is no such address here"})
	})

	mux := http.NewServeMux()
	mux.Handle("/api/", csrf.Handler(s.paid(api)))
	mux.HandleFunc("GET /{$}", s.getPage)
	mux.HandleFunc("GET /r/{room}", s.getRoomPage)
	mux.HandleFunc("GET /ui/{file...}", s.getFile)
	mux.HandleFunc("GET /ws", s.upgrade)
	mux.HandleFunc("GET /healthz", s.getHealth)
	mux.Handle("GET /readyz", s.paid(http.HandlerFunc(s.getReady)))
	return s.always(mux), nil
}

// paid takes from a client's address what a request costs that may ask the store: as
// much as a line of a WebSocket.
func (s *Server) paid(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := tooFast(s.o.Limits.addressLines.take(s.client(r).String())); err != nil {
			s.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// always is what holds for every answer.
func (s *Server) always(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.hold() {
			return // the connection is closed already
		}
		defer s.serving.Done()
		s.secure(w.Header(), r)
		next.ServeHTTP(&answer{ResponseWriter: w, server: s}, r)
	})
}

// answer closes its connection when the server drains, also when the drain
// began after the request: the next one finds our successor.
type answer struct {
	http.ResponseWriter
	server *Server
	status int // 0 until it is written
}

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && a.server.isDraining() {
		a.Header().Set("Connection", "close")
	}
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (s *Server) badMethod(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		s.fail(w, r, &apiError{kind: kindMethod, msg: "only " + allow + " can be used here"})
	}
}

func (s *Server) getPage(w http.ResponseWriter, r *http.Request) { s.page.serve(w, r, index) }

func (s *Server) getRoomPage(w http.ResponseWriter, r *http.Request) {
	if err := wire.ValidRoom(r.PathValue("room")); err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	s.page.serve(w, r, index)
}

func (s *Server) getFile(w http.ResponseWriter, r *http.Request) {
	s.page.serve(w, r, r.PathValue("file"))
}

// Probes answers /healthz and /readyz for a listener of another kind.
func (s *Server) Probes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.getHealth)
	mux.HandleFunc("GET /readyz", s.getReady)
	return mux
}

func (s *Server) getHealth(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, s.o.Build)
}

func (s *Server) getReady(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if s.isDraining() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pingLimit)
	defer cancel()
	if err := s.o.Store.Ping(ctx); err != nil {
		s.o.Log.Error("store not ready", "err", err)
		http.Error(w, toAPI(err).msg, http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("ready\n"))
}
