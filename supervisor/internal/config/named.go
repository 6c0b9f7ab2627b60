package config

import (
	"fmt"
	"maps"
	"slices"
)

// Named is an environment of a program that is chosen by its name. It is added
// to what the program has without one.
type Named struct {
	Env      map[string]string
	EnvFiles []EnvFile
}

// named reads [program.NAME.environment].
func (t *table) named() map[string]Named {
	in := t.table("environment", `{ production = { env = { NAME = "value" } } }`)
	var all map[string]Named
	for _, name := range in.keys() {
		if !ValidName(name) {
			in.mistake(in.at.of(name), "the name %s must be %s", quote(name), nameRule)
			continue
		}
		each := in.table(name, `{ env = { NAME = "value" } }`)
		if all == nil {
			all = map[string]Named{}
		}
		all[name] = Named{each.environment(), each.envFiles()}
		each.done()
	}
	return all
}

// Choose gives the programs that have an environment of that name its variables
// and files, which win over those that they have anyway. At least one must have
// it: the name may be misspelt.
func (f *File) Choose(name string) error {
	var known []string
	found := false
	for i := range f.Programs {
		p := &f.Programs[i]
		known = append(known, slices.Collect(maps.Keys(p.Named))...)
		n, ok := p.Named[name]
		if !ok {
			continue
		}
		found = true
		env := maps.Clone(p.Env)
		if env == nil {
			env = map[string]string{}
		}
		maps.Copy(env, n.Env)
		p.Env, p.EnvFiles = env, slices.Concat(p.EnvFiles, n.EnvFiles)
	}
	if !found {
		slices.Sort(known)
		return fmt.Errorf("no program has an environment %s%s", quote(name), suggest(name, slices.Compact(known)))
	}
	return nil
}
