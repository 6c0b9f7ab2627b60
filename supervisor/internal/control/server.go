package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
)

// Refusals that a [Backend] gives, to be wrapped. Any other error means that
// the supervisor stops or has broken.
var (
	ErrNoDeploy   = errors.New("no such deploy")  // or none any more
	ErrNoProgram  = errors.New("no such program") // 404 too
	ErrMistake    = errors.New("mistake")         // in what was asked
	ErrImpossible = errors.New("not possible now")
	errForbidden  = errors.New("not allowed")
)

// Refuse makes a refusal of one of those kinds that says what text does.
func Refuse(kind error, format string, args ...any) error {
	return &kindOf{kind, fmt.Errorf(format, args...)}
}

// kindOf is an error with a kind that its text does not repeat.
type kindOf struct {
	kind error
	error
}

func (k *kindOf) Unwrap() []error { return []error{k.kind, k.error} }

// statuses are what refusals mean in HTTP.
var statuses = []struct {
	refusal error
	status  int
}{
	{ErrNoDeploy, http.StatusNotFound},
	{ErrNoProgram, http.StatusNotFound},
	{ErrMistake, http.StatusBadRequest},
	{ErrImpossible, http.StatusConflict},
	{errForbidden, http.StatusForbidden},
}

// Backend is what the API operates. Its methods may be called concurrently.
type Backend interface {
	Status(ctx context.Context) (Status, error)
	Describe(ctx context.Context, program string) (Description, error)

	// Deploy asks for deploys and returns at once. by is who asked.
	Deploy(ctx context.Context, r DeployRequest, by string) (Requested, error)

	// Follow calls each with every step of a deploy until its verdict.
	Follow(ctx context.Context, id string, each func(Step) error) error

	// Operate returns when it is done, or cannot be.
	Operate(ctx context.Context, program string, op Operation) (Done, error)
	Add(ctx context.Context, p NewProgram) (Done, error)
	Signal(ctx context.Context, program, signal string) (Done, error)

	// Scale returns when so many instances run, or could not be started.
	Scale(ctx context.Context, program string, instances int) (Done, error)

	// Environment tells the variables of the serving worker, with their values.
	Environment(ctx context.Context, program string) (Environment, error)

	// Logs calls each with every line that is asked for, of all programs in
	// the order of their times.
	Logs(ctx context.Context, q LogQuery, each func(logs.Line) error) error
}

// Server answers operators.
type Server struct {
	Backend Backend
	Log     *slog.Logger
	Metrics http.Handler // answers what Prometheus asks; nil: nothing does
	Group   func() int   // whose members may change things, negative for none; nil: none
}

// stopTime is how long answers in flight may take at the end; the verdict of a
// deploy that the stop rejected is among them.
const stopTime = 2 * time.Second

// maxRequest bounds the body of a request.
const maxRequest = 1 << 20

// ErrMoved, as the cause of the end of a Serve, says that another process serves
// on: whoever follows a deploy is to ask there.
var ErrMoved = errors.New("another supervisor takes over")

// Serve answers on l until ctx ends and then closes it. Whoever follows a deploy
// is told its verdict first, if that comes soon, unless [ErrMoved] is the cause.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	base := context.WithoutCancel(ctx)
	following, endFollowing := context.WithCancel(base)
	defer endFollowing()
	waiting, endWaiting := context.WithCancel(base)
	defer endWaiting()
	server := &http.Server{Handler: s.routes(following, waiting), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 30 * time.Second, ConnContext: withPeer}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the control socket: %w", err)
	case <-ctx.Done():
	}
	endFollowing() // whoever follows logs would do so for ever
	if errors.Is(context.Cause(ctx), ErrMoved) {
		endWaiting()
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if server.Shutdown(stop) != nil {
		server.Close()
	}
	<-served
	return nil
}

// routes is the API. Logs are followed until following ends, deploys until waiting
// does.
func (s *Server) routes(following, waiting context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", read(func(r *http.Request) (any, error) { return s.Backend.Status(r.Context()) }))
	mux.HandleFunc("GET /v1/programs/{name}", read(func(r *http.Request) (any, error) {
		return s.Backend.Describe(r.Context(), r.PathValue("name"))
	}))
	mux.HandleFunc("GET /v1/programs/{name}/env", read(s.names))
	mux.HandleFunc("GET /v1/deploys/{id}/steps", func(w http.ResponseWriter, r *http.Request) { s.steps(waiting, w, r) })
	mux.HandleFunc("GET /v1/logs", func(w http.ResponseWriter, r *http.Request) { s.logs(following, w, r) })
	if s.Metrics != nil {
		mux.Handle("GET /v1/metrics", s.Metrics)
	}
	mux.HandleFunc("POST /v1/reload", s.change(s.reload))
	mux.HandleFunc("POST /v1/programs", s.change(s.add))
	mux.HandleFunc("POST /v1/programs/{name}/env", s.change(s.values))
	mux.HandleFunc("POST /v1/programs/{name}/signal", s.change(s.signal))
	mux.HandleFunc("POST /v1/programs/{name}/scale", s.change(s.scale))
	mux.HandleFunc("POST /v1/programs/{name}/{operation}", s.change(s.operate))
	return mux
}

func read(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if err != nil {
			refuse(w, err)
			return
		}
		answer(w, v)
	}
}

// change lets those change things who may, and logs what they did.
func (s *Server) change(f func(r *http.Request, by string) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		group := -1
		if s.Group != nil {
			group = s.Group()
		}
		who, _ := r.Context().Value(peerKey{}).(peer)
		if err := who.mayChange(group); err != nil {
			s.Log.Warn("change refused", "path", r.URL.Path, "by", who.String())
			refuse(w, Refuse(errForbidden, "%w", err))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		v, err := f(r, who.String())
		if err != nil {
			s.Log.Info("change refused", "path", r.URL.Path, "by", who.String(), "err", err)
			refuse(w, err)
			return
		}
		answer(w, v)
	}
}

func (s *Server) reload(r *http.Request, by string) (any, error) {
	var request DeployRequest
	if err := body(r, &request); err != nil {
		return nil, err
	}
	requested, err := s.Backend.Deploy(r.Context(), request, by)
	for _, t := range requested.Deploys {
		s.Log.Info("deploy requested", "program", t.Program, "deploy", t.ID, "by", by)
	}
	return requested, err
}

func (s *Server) add(r *http.Request, by string) (any, error) {
	var p NewProgram
	if err := body(r, &p); err != nil {
		return nil, err
	}
	done, err := s.Backend.Add(r.Context(), p)
	return s.done(done, err, "add", by)
}

func (s *Server) signal(r *http.Request, by string) (any, error) {
	var request SignalRequest
	if err := body(r, &request); err != nil {
		return nil, err
	}
	done, err := s.Backend.Signal(r.Context(), r.PathValue("name"), request.Signal)
	return s.done(done, err, "signal", by)
}

func (s *Server) scale(r *http.Request, by string) (any, error) {
	var request ScaleRequest
	if err := body(r, &request); err != nil {
		return nil, err
	}
	done, err := s.Backend.Scale(r.Context(), r.PathValue("name"), request.Instances)
	return s.done(done, err, "scale", by)
}

// names answers with the names of variables.
func (s *Server) names(r *http.Request) (any, error) {
	env, err := s.Backend.Environment(r.Context(), r.PathValue("name"))
	for i := range env.Variables {
		env.Variables[i].Value = nil
	}
	return env, err
}

// values answers with the values too. It changes nothing, but they are secrets:
// who may see them is who may change things, and that he did is logged.
func (s *Server) values(r *http.Request, by string) (any, error) {
	env, err := s.Backend.Environment(r.Context(), r.PathValue("name"))
	if err == nil {
		s.Log.Info("values of the environment told", "program", env.Program, "by", by)
	}
	return env, err
}

func (s *Server) operate(r *http.Request, by string) (any, error) {
	op := Operation(r.PathValue("operation"))
	done, err := s.Backend.Operate(r.Context(), r.PathValue("name"), op)
	return s.done(done, err, string(op), by)
}

// done logs what was done.
func (s *Server) done(d Done, err error, op, by string) (any, error) {
	if err == nil {
		s.Log.Info("program operated", "program", d.Program, "operation", op, "state", d.State, "by", by)
	}
	return d, err
}

// body reads a request, of which nothing may be misunderstood.
func body(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) { // none is an empty one
		return Refuse(ErrMistake, "read the request: %w", err)
	}
	return nil
}

func (s *Server) steps(waiting context.Context, w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(waiting, cancel)()
	lines := newLines(w)
	err := s.Backend.Follow(ctx, r.PathValue("id"), func(step Step) error { return lines.write(step) })
	if errors.Is(err, ErrNoDeploy) {
		refuse(w, err)
	}
}

func (s *Server) logs(following context.Context, w http.ResponseWriter, r *http.Request) {
	q, err := parseLogQuery(r.URL.Query())
	if err != nil {
		refuse(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(following, cancel)()
	lines := newLines(w)
	if err := s.Backend.Logs(ctx, q, func(l logs.Line) error { return lines.write(l) }); err != nil && !lines.begun {
		refuse(w, err)
	}
}

// parseLogQuery reads what [LogQuery.values] writes.
func parseLogQuery(v url.Values) (q LogQuery, err error) {
	q.Programs = v["program"]
	if n := v.Get("lines"); n != "" {
		if q.Lines, err = strconv.Atoi(n); err != nil || q.Lines < 0 {
			return q, Refuse(ErrMistake, "lines must be a number, not %q", n)
		}
	}
	if t := v.Get("since"); t != "" {
		if q.Since, err = time.Parse(time.RFC3339Nano, t); err != nil {
			return q, Refuse(ErrMistake, "since must be a time as in RFC 3339, not %q", t)
		}
	}
	q.Err, q.Follow = v.Get("err") == "true", v.Get("follow") == "true"
	return q, nil
}

// values are q in an address.
func (q LogQuery) values() url.Values {
	v := url.Values{"program": q.Programs}
	if q.Lines > 0 {
		v.Set("lines", strconv.Itoa(q.Lines))
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	if q.Err {
		v.Set("err", "true")
	}
	if q.Follow {
		v.Set("follow", "true")
	}
	return v
}

// lines writes JSON objects, one a line, each at once.
type lines struct {
	json  *json.Encoder
	flush *http.ResponseController
	begun bool
}

func newLines(w http.ResponseWriter) *lines {
	return &lines{json: json.NewEncoder(w), flush: http.NewResponseController(w)}
}

func (l *lines) write(v any) error {
	l.begun = true
	if err := l.json.Encode(v); err != nil {
		return err
	}
	return l.flush.Flush()
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
	for _, s := range statuses {
		if errors.Is(err, s.refusal) {
			status = s.status
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(problem{err.Error()})
}
