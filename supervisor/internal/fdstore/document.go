package fdstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"golang.org/x/sys/unix"
)

// A document has two halves, written in turn: whatever becomes of the writer,
// the other half is whole. Each begins with a header of sequence number, length
// and checksum, little-endian. What is not written takes no memory.
const (
	halfSize   = 8 << 20
	headerSize = 8 + 4 + 4

	// MaxDocument is the longest text of a document in bytes.
	MaxDocument = halfSize - headerSize
)

// ErrNoDocument says that nothing whole was ever written.
var ErrNoDocument = errors.New("no document")

// Document is text in memory that outlives its writer with its descriptor. It
// is for one writer.
type Document struct {
	fd       int
	sequence uint64
	last     string
}

// NewDocument makes an empty document; name is for people who look at /proc.
func NewDocument(name string) (*Document, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make document %s: %w", name, err)
	}
	return &Document{fd: fd}, nil
}

// OpenDocument goes on with the document behind fd, which it owns also on an
// error, and returns its text. [ErrNoDocument] when there is none.
func OpenDocument(fd int) (*Document, string, error) {
	text, sequence, err := read(fd)
	if err != nil {
		unix.Close(fd)
		return nil, "", err
	}
	return &Document{fd: fd, sequence: sequence, last: text}, text, nil
}

// ReadDocument returns the text of the document behind fd, which stays the
// caller's.
func ReadDocument(fd int) (string, error) {
	text, _, err := read(fd)
	return text, err
}

// FD is the descriptor, which stays the document's.
func (d *Document) FD() int { return d.fd }

// Close lets go of the descriptor.
func (d *Document) Close() error { return unix.Close(d.fd) }

// Write replaces the text, whole or not at all.
func (d *Document) Write(text string) error {
	if text == d.last && d.sequence > 0 {
		return nil
	}
	if len(text) > MaxDocument {
		return fmt.Errorf("write document: %d bytes, at most %d", len(text), MaxDocument)
	}
	next := d.sequence + 1
	at := int64(next%2) * halfSize
	if err := writeAt(d.fd, []byte(text), at+headerSize); err != nil {
		return err
	}
	if err := writeAt(d.fd, header(next, text), at); err != nil {
		return err
	}
	d.sequence, d.last = next, text
	return nil
}

func header(sequence uint64, text string) []byte {
	h := make([]byte, 0, headerSize)
	h = binary.LittleEndian.AppendUint64(h, sequence)
	h = binary.LittleEndian.AppendUint32(h, uint32(len(text)))
	return binary.LittleEndian.AppendUint32(h, checksum(h, text))
}

// checksum is over the rest of the header too: half a header must not pass for
// that of other text.
func checksum(rest []byte, text string) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(rest), crc32.IEEETable, []byte(text))
}

// read returns the newest half that is whole.
func read(fd int) (text string, sequence uint64, err error) {
	for at := int64(0); at <= halfSize; at += halfSize {
		t, s, ok := readHalf(fd, at)
		if ok && s > sequence {
			text, sequence = t, s
		}
	}
	if sequence == 0 {
		return "", 0, ErrNoDocument
	}
	return text, sequence, nil
}

func readHalf(fd int, at int64) (text string, sequence uint64, ok bool) {
	h := make([]byte, headerSize)
	if !readAt(fd, h, at) {
		return "", 0, false
	}
	length := binary.LittleEndian.Uint32(h[8:])
	if length > MaxDocument {
		return "", 0, false
	}
	content := make([]byte, length)
	if !readAt(fd, content, at+headerSize) {
		return "", 0, false
	}
	text = string(content)
	if checksum(h[:12], text) != binary.LittleEndian.Uint32(h[12:]) {
		return "", 0, false
	}
	return text, binary.LittleEndian.Uint64(h), true
}

func writeAt(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("write document: %w", err)
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

func readAt(fd int, b []byte, at int64) bool {
	for len(b) > 0 {
		n, err := unix.Pread(fd, b, at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return false
		}
		b, at = b[n:], at+int64(n)
	}
	return true
}
