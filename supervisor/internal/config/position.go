package config

import (
	"bytes"
	"cmp"
	"sort"

	"github.com/pelletier/go-toml/v2/unstable"
)

// place is where a key was first written, and the keys below it. The decoder
// tells values but not their places, so that these come from a second reading.
type place struct {
	line, column int
	below        map[string]*place
}

// of returns the place of a key, or of the table itself for one that is not
// written there.
func (p *place) of(key string) *place {
	if below := p.below[key]; below != nil {
		return below
	}
	return p
}

// enter returns the place of a key, which is now known.
func (p *place) enter(key string, line, column int) *place {
	if below := p.below[key]; below != nil {
		return below
	}
	if p.below == nil {
		p.below = map[string]*place{}
	}
	below := &place{line: line, column: column}
	p.below[key] = below
	return below
}

// compare is negative if p comes before q in the file.
func (p *place) compare(q *place) int {
	return cmp.Or(cmp.Compare(p.line, q.line), cmp.Compare(p.column, q.column))
}

// locate finds every key of a text that the decoder took.
func locate(text []byte) *place {
	var p unstable.Parser
	p.Reset(text)
	l := locator{lineStarts(text)}
	root := &place{line: 1, column: 1}
	table := root
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = l.key(root, e)
		case unstable.KeyValue:
			l.value(l.key(table, e), e.Value())
		}
	}
	return root
}

// locator knows the offset of each line's first byte.
type locator struct{ starts []int }

func lineStarts(text []byte) []int {
	starts := []int{0}
	for at := 0; ; {
		n := bytes.IndexByte(text[at:], '\n')
		if n < 0 {
			return starts
		}
		at += n + 1
		starts = append(starts, at)
	}
}

func (l locator) position(offset int) (line, column int) {
	line = sort.SearchInts(l.starts, offset+1)
	return line, offset - l.starts[line-1] + 1
}

// key enters each part of the key that n has, below table.
func (l locator) key(table *place, n *unstable.Node) *place {
	for parts := n.Key(); parts.Next(); {
		part := parts.Node()
		line, column := l.position(int(part.Raw.Offset))
		table = table.enter(string(part.Data), line, column)
	}
	return table
}

// value enters the keys of an inline table.
func (l locator) value(at *place, n *unstable.Node) {
	if n.Kind != unstable.InlineTable {
		return
	}
	for all := n.Children(); all.Next(); {
		if e := all.Node(); e.Kind == unstable.KeyValue {
			l.value(l.key(at, e), e.Value())
		}
	}
}
