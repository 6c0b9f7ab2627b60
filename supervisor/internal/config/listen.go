package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/simpletalk/simpletalk/proto/address"
)

// Listen is a named listening socket.
type Listen struct {
	Name    string
	Address address.Address
}

// ParseListens reads NAME=ADDRESS, each name once.
func ParseListens(all []string) ([]Listen, error) {
	var listens []Listen
	for _, s := range all {
		l, err := parseListen(s)
		if err != nil {
			return nil, err
		}
		for _, earlier := range listens {
			if earlier.Name == l.Name {
				return nil, fmt.Errorf("--listen %q: the name %q is given twice", s, l.Name)
			}
			if earlier.Address.Same(l.Address) {
				return nil, fmt.Errorf("--listen %q: %s listens there already", s, earlier.Name)
			}
		}
		listens = append(listens, l)
	}
	return listens, nil
}

func parseListen(s string) (Listen, error) {
	name, where, found := strings.Cut(s, "=")
	if !found {
		return Listen{}, fmt.Errorf("--listen %q: must be NAME=ADDRESS, such as http=127.0.0.1:3000", s)
	}
	if !ValidName(name) {
		return Listen{}, fmt.Errorf("--listen %q: the name %q must be %s", s, name, nameRule)
	}
	a, err := address.Parse(where)
	if err != nil {
		return Listen{}, fmt.Errorf("--listen %s: %w", name, err)
	}
	return Listen{Name: name, Address: a}, nil
}

// nameRule is what [ValidName] asks for.
const nameRule = "1 to 40 letters, digits, '-', '_' or '.'"

// ValidName reports whether a listener or a program can be called name: it
// stands in LISTEN_FDNAMES, where a colon separates, and in log lines.
func ValidName(name string) bool {
	if name == "" || len(name) > 40 {
		return false
	}
	for _, c := range name {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// Override puts listens in the place of those of the same names, or beside the
// others.
func (f *File) Override(listens []Listen) error {
	for _, l := range listens {
		if i := slices.IndexFunc(f.Listens, func(o Listen) bool { return o.Name == l.Name }); i >= 0 {
			f.Listens = slices.Delete(f.Listens, i, i+1)
		}
		if i := slices.IndexFunc(f.Listens, func(o Listen) bool { return o.Address.Same(l.Address) }); i >= 0 {
			return fmt.Errorf("--listen %s: %s of %s listens there already", l.Name, f.Listens[i].Name, f.Path)
		}
		f.Listens = append(f.Listens, l)
	}
	return nil
}
