package pm2

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Ecosystem is what a file of PM2 says.
type Ecosystem struct {
	Path string // absolute
	Apps []App
	Rest []string // keys beside apps, which are not carried over
}

// App is one of its programs, by its keys.
type App map[string]any

// readTime bounds what a .js file may do.
const readTime = 30 * time.Second

// print has node write what a module exports.
const printModule = `const e = require(process.argv[1]); process.stdout.write("\n" + JSON.stringify(e.default ?? e))`

// Read reads an ecosystem file: one that ends in .js or .cjs by node, which runs
// it, any other as JSON.
func Read(ctx context.Context, path string) (*Ecosystem, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(abs)
	if err != nil {
		return nil, err
	}
	switch ext := filepath.Ext(path); ext {
	case ".js", ".cjs":
		if text, err = evaluate(ctx, abs); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	case ".mjs", ".yml", ".yaml":
		return nil, fmt.Errorf("%s: %s files cannot be read: write it as JSON first", path, ext)
	}
	e, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	e.Path = abs
	return e, nil
}

// evaluate has node run a file and returns what it exports, as JSON.
func evaluate(ctx context.Context, path string) ([]byte, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, errors.New("it takes node to read it, which is not in $PATH: write it as JSON instead")
	}
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	c := exec.CommandContext(ctx, node, "-e", printModule, path)
	c.Dir = filepath.Dir(path)
	var out, wrong bytes.Buffer
	c.Stdout, c.Stderr = &out, &wrong
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("node: %w: %s", err, cause(wrong.String()))
	}
	text := out.Bytes()
	return text[bytes.LastIndexByte(text, '\n')+1:], nil // before it is what the file printed
}

// cause is the line of an error of node that says what it is.
func cause(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.Contains(line, "Error") {
			return line
		}
	}
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return first
}

// decode reads one app, a list of them, or an object that has them.
func decode(text []byte) (*Ecosystem, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var whole any
	if err := d.Decode(&whole); err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	e := new(Ecosystem)
	if object, ok := whole.(map[string]any); ok {
		whole = []any{object}
		if apps, ok := object["apps"]; ok {
			whole = apps
			for _, key := range sorted(object) {
				if key != "apps" {
					e.Rest = append(e.Rest, key)
				}
			}
		}
	}
	apps, ok := whole.([]any)
	if !ok {
		apps = []any{whole}
	}
	for i, each := range apps {
		app, ok := each.(map[string]any)
		if !ok || app["script"] == nil {
			return nil, fmt.Errorf("app %d has no script: it must be an object such as {\"script\": \"server.js\"}", i+1)
		}
		e.Apps = append(e.Apps, app)
	}
	if len(e.Apps) == 0 {
		return nil, errors.New(`it has no apps: they are in {"apps": [...]}`)
	}
	return e, nil
}
