package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes of RFC 6455 section 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

const (
	bitFin  = 0x80
	bitMask = 0x80
	// maxLine is more than any line that is kept: a page of the longest posts.
	maxLine = 4 << 20
	// keepLine is the largest buffer for a torn line that a client keeps.
	keepLine = 4 << 10
)

// presence begins the one kind of line that grows with the number of people. It
// is of no use here and so large that no client should hold it.
var presence = []byte(`{"t":"pres"`)

// sink takes what a server sends. The slices are valid during the call.
type sink interface {
	line(b []byte)
	controlFrame(op byte, payload []byte)
}

// decoder takes a server's bytes apart, however they are cut: into frames, and
// text into lines, the way proto/chat has them. It buffers only a line that is
// torn between two reads. The zero value is ready.
type decoder struct {
	head    [10]byte // RFC 6455 section 5.2: the longest header without a mask
	have    int      // bytes of it
	inFrame bool     // the header is whole, left bytes are to come
	left    uint64
	inText  bool   // a text message has begun and not ended
	text    []byte // the line that is not whole yet
	skip    bool   // it is of no use
	payload []byte // of a control frame
}

// feed takes the next bytes. After an error the stream cannot be read on.
func (d *decoder) feed(p []byte, to sink) error {
	for {
		if !d.inFrame {
			if p = d.header(p); !d.inFrame {
				return nil
			}
			if err := d.begin(); err != nil {
				return err
			}
		}
		n := int(min(d.left, uint64(len(p))))
		d.left -= uint64(n)
		if err := d.body(p[:n], to); err != nil {
			return err
		}
		p = p[n:]
		if d.left > 0 {
			return nil
		}
		d.end(to)
	}
}

// midMessage reports whether more bytes must come before a message is whole.
func (d *decoder) midMessage() bool { return d.have > 0 || d.inFrame || d.inText }

// header collects a header and returns what follows on it.
func (d *decoder) header(p []byte) []byte {
	for len(p) > 0 {
		d.head[d.have] = p[0]
		d.have++
		p = p[1:]
		if d.have == d.headerLen() {
			d.inFrame = true
			return p
		}
	}
	return p
}

func (d *decoder) headerLen() int {
	if d.have < 2 {
		return 2
	}
	switch d.head[1] &^ bitMask {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

// begin reads the header and refuses what a server must not send.
func (d *decoder) begin() error {
	switch n := d.head[1] &^ bitMask; n {
	case 126:
		d.left = uint64(binary.BigEndian.Uint16(d.head[2:]))
	case 127:
		d.left = binary.BigEndian.Uint64(d.head[2:])
	default:
		d.left = uint64(n)
	}
	op := d.op()
	switch {
	case d.head[0]&0x70 != 0:
		return errors.New("a frame with reserved bits")
	case d.head[1]&bitMask != 0:
		return errors.New("a masked frame from a server")
	case op == opText && d.inText, op == opContinuation && !d.inText:
		return errors.New("a frame that does not fit the message before")
	case op == opText, op == opContinuation:
		d.inText = true
	case op < opClose || op > opPong:
		return fmt.Errorf("a frame of opcode %d", op)
	case d.left > 125 || d.head[0]&bitFin == 0:
		return errors.New("a control frame too long or in fragments")
	}
	return nil
}

func (d *decoder) op() byte { return d.head[0] & 0x0f }

func (d *decoder) body(p []byte, to sink) error {
	if d.op() >= opClose {
		d.payload = append(d.payload, p...)
		return nil
	}
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return d.keep(p)
		}
		d.endLine(p[:i], to)
		p = p[i+1:]
	}
}

// keep holds the begin of a line.
func (d *decoder) keep(p []byte) error {
	if d.skip || len(p) == 0 {
		return nil
	}
	d.text = append(d.text, p...)
	if bytes.HasPrefix(d.text, presence) {
		d.skip, d.text = true, d.text[:0]
	}
	if len(d.text) > maxLine {
		return fmt.Errorf("a line of more than %d bytes", maxLine)
	}
	return nil
}

// endLine hands over the line whose last piece is p.
func (d *decoder) endLine(p []byte, to sink) {
	if len(d.text) > 0 {
		d.text = append(d.text, p...)
		p = d.text
	}
	if len(p) > 0 && !d.skip {
		to.line(p)
	}
	d.skip, d.text = false, d.text[:0]
	if cap(d.text) > keepLine {
		d.text = nil
	}
}

// end ends a frame; the end of a message ends its last line too.
func (d *decoder) end(to sink) {
	d.inFrame, d.have = false, 0
	switch {
	case d.op() >= opClose:
		to.controlFrame(d.op(), d.payload)
		d.payload = d.payload[:0]
	case d.head[0]&bitFin != 0:
		d.inText = false
		d.endLine(nil, to)
	}
}
