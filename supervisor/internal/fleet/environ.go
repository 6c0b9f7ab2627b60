package fleet

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// Environment implements [control.Backend]. It is what the worker was started
// with, as the kernel has it: files may say something else by now.
func (f *Fleet) Environment(ctx context.Context, name string) (control.Environment, error) {
	p, err := f.find(name)
	if err != nil {
		return control.Environment{}, err
	}
	s, err := f.statusOf(ctx, p)
	if err != nil {
		return control.Environment{}, err
	}
	i := s.Instances[0] // all are started with the same but for their index
	if i.PID == 0 {
		return control.Environment{}, control.Refuse(control.ErrImpossible, "%s does not run", name)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", i.PID))
	if err != nil {
		return control.Environment{}, control.Refuse(control.ErrImpossible, "environment of %s: %w", name, err)
	}
	return control.Environment{Program: name, Gen: i.Gen, Variables: variables(text)}, nil
}

// variables reads what proc_pid_environ(5) says, by name.
func variables(text []byte) []control.Variable {
	all := []control.Variable{}
	for variable := range bytes.SplitSeq(text, []byte{0}) {
		if name, value, ok := bytes.Cut(variable, []byte{'='}); ok {
			v := string(value)
			all = append(all, control.Variable{Name: string(name), Value: &v})
		}
	}
	slices.SortFunc(all, func(a, b control.Variable) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
