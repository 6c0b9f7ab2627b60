package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	version = 1        // of the format
	maxSize = 16 << 20 // what is larger is no record
	seal    = "sha256 "
	edited  = "edited" // in the place of the sum: a person vouches
)

// Why a file is no record.
var (
	errEmpty    = errors.New("it is empty")
	errDamaged  = errors.New("it is torn or damaged: the checksum does not match")
	errUnsealed = errors.New("it is torn: its last line, the checksum, is missing")
	errTooLarge = fmt.Errorf("it is larger than %d bytes", maxSize)
	errNewer    = errors.New("a newer supervisor wrote it")
)

// form is the JSON object.
type form struct {
	Version int                `json:"version"`
	Added   map[string]Program `json:"added"`
	Stopped []string           `json:"stopped"`
	Scaled  map[string]int     `json:"scaled,omitempty"`
}

// encode returns the file that holds r.
func encode(r Record) ([]byte, error) {
	if err := validate(r); err != nil {
		return nil, err
	}
	r = r.clone()
	stopped := slices.AppendSeq([]string{}, maps.Keys(r.Stopped))
	slices.Sort(stopped)
	object, err := marshal(form{Version: version, Added: r.Added, Stopped: stopped, Scaled: r.Scaled}, r.rest)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, object, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	fmt.Fprintf(&b, "%s%s\n", seal, sum(b.Bytes()))
	if b.Len() > maxSize {
		return nil, errTooLarge
	}
	return b.Bytes(), nil
}

func sum(object []byte) string {
	h := sha256.Sum256(object)
	return hex.EncodeToString(h[:])
}

// validate refuses what JSON would change silently: Linux allows any bytes in
// an argument, JSON only UTF-8.
func validate(r Record) error {
	for name, p := range r.Added {
		texts := append([]string{name, p.Dir, p.ReadyAfter}, p.Command...)
		for key, value := range p.Env {
			texts = append(texts, key, value)
		}
		for _, l := range p.Listen {
			texts = append(texts, l.Name, l.Address)
		}
		if !allUTF8(texts) {
			return fmt.Errorf("program %q: its name, command, folder, environment and sockets must be UTF-8", name)
		}
	}
	for name := range r.Scaled {
		if !utf8.ValidString(name) {
			return fmt.Errorf("program %q: its name must be UTF-8", name)
		}
	}
	for name := range r.Stopped {
		if !utf8.ValidString(name) {
			return fmt.Errorf("program %q: its name must be UTF-8", name)
		}
	}
	return nil
}

func allUTF8(texts []string) bool {
	return !slices.ContainsFunc(texts, func(s string) bool { return !utf8.ValidString(s) })
}

// decode reads what encode wrote, or an older file.
func decode(data []byte) (Record, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return Record{}, errEmpty
	}
	// The version comes first: how a newer file is sealed is not known here.
	var head struct{ Version int }
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&head); err == nil && head.Version > version {
		return Record{}, fmt.Errorf("%w: its version is %d, %d is known", errNewer, head.Version, version)
	}
	object, sealed, err := unseal(data)
	if err != nil {
		return Record{}, err
	}
	var f form
	rest, err := unmarshal(object, &f, "version", "added", "stopped", "scaled")
	switch {
	case err != nil:
		return Record{}, fmt.Errorf("it is no record: %w", err)
	case f.Version < 0:
		return Record{}, fmt.Errorf("it is no record: version %d", f.Version)
	case f.Version == version && !sealed:
		return Record{}, errUnsealed
	}
	r := Record{Added: f.Added, Stopped: map[string]bool{}, Scaled: f.Scaled, rest: rest}
	for _, name := range f.Stopped {
		r.Stopped[name] = true
	}
	return r.clone(), nil
}

// unseal returns the object of data, and whether a last line vouches for it.
func unseal(data []byte) (object []byte, sealed bool, err error) {
	last := bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n') + 1
	object = data[:last]
	got, sealed := strings.CutPrefix(strings.TrimSuffix(string(data[last:]), "\n"), seal)
	if !sealed {
		return data, false, nil
	}
	if got != edited && got != sum(object) {
		return nil, false, errDamaged
	}
	return object, true, nil
}

// program is Program without its methods.
type program Program

// MarshalJSON writes p with the fields that a newer writer gave it.
func (p Program) MarshalJSON() ([]byte, error) { return marshal(program(p), p.rest) }

// UnmarshalJSON reads p and keeps the fields that it does not know.
func (p *Program) UnmarshalJSON(data []byte) error {
	var known program
	rest, err := unmarshal(data, &known, "command", "dir", "env", "listen", "ready_after")
	if err != nil {
		return err
	}
	known.rest = rest
	*p = Program(known)
	return nil
}

// marshal returns the object known with the fields in rest behind its own.
func marshal(known any, rest map[string]json.RawMessage) ([]byte, error) {
	b, err := plain(known)
	if err != nil || len(rest) == 0 {
		return b, err
	}
	more, err := plain(rest)
	if err != nil {
		return nil, err
	}
	return slices.Concat(b[:len(b)-1], []byte(","), more[1:]), nil
}

// plain is json.Marshal that leaves <, > and & as people wrote them.
func plain(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// unmarshal reads an object into known and returns its fields of other names.
func unmarshal(data []byte, known any, names ...string) (map[string]json.RawMessage, error) {
	var rest map[string]json.RawMessage
	if err := json.Unmarshal(data, &rest); err != nil {
		return nil, err
	}
	if rest == nil {
		return nil, errors.New("null in the place of an object")
	}
	if err := json.Unmarshal(data, known); err != nil {
		return nil, err
	}
	for name, value := range rest {
		// "Command" was read as "command" and would be written twice.
		if slices.ContainsFunc(names, func(known string) bool { return strings.EqualFold(known, name) }) {
			delete(rest, name)
			continue
		}
		var b bytes.Buffer
		if err := json.Compact(&b, value); err != nil {
			return nil, err
		}
		rest[name] = b.Bytes()
	}
	if len(rest) == 0 {
		return nil, nil
	}
	return rest, nil
}
