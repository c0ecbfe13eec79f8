package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// DefaultMaxBody is the greatest body of a request or an answer, in bytes.
const DefaultMaxBody = 8 << 20

// Kinds of frames.
const (
	kindRequest byte = 1
	kindAnswer  byte = 2
	kindFailure byte = 3
	kindCancel  byte = 4
)

// headerSize is the frame without its body, headerRest the part of it that the
// length field counts.
const (
	lengthSize = 4
	headerRest = 16
	headerSize = lengthSize + headerRest
)

// frame is one message; doc.go has its bytes.
type frame struct {
	kind byte
	// method of a request, code of a failure, else 0
	method byte
	id     uint64
	// deadline is the time that a request has left, in ms; 0 means no end
	deadline uint32
	body     []byte

	// call is the request's, at the sender.
	call *call
}

func (f frame) appendHeader(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(headerRest+len(f.body)))
	b = append(b, f.kind, f.method, 0, 0)
	b = binary.BigEndian.AppendUint64(b, f.id)
	return binary.BigEndian.AppendUint32(b, f.deadline)
}

// readFrame reads one frame whose body has at most maxBody bytes. io.EOF means
// that the stream ended between two frames.
func readFrame(r io.Reader, maxBody int) (frame, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	size := binary.BigEndian.Uint32(h[:])
	switch {
	case size < headerRest:
		return frame{}, fmt.Errorf("%w: frame of %d bytes", errProtocol, size)
	case int64(size)-headerRest > int64(maxBody):
		return frame{}, fmt.Errorf("%w: frame with a body of %d bytes, at most %d are taken",
			errProtocol, size-headerRest, maxBody)
	case h[6] != 0 || h[7] != 0:
		return frame{}, fmt.Errorf("%w: reserved bits are set", errProtocol)
	}
	f := frame{
		kind:     h[4],
		method:   h[5],
		id:       binary.BigEndian.Uint64(h[8:]),
		deadline: binary.BigEndian.Uint32(h[16:]),
	}
	if f.kind < kindRequest || f.kind > kindCancel {
		return frame{}, fmt.Errorf("%w: frame of kind %d", errProtocol, f.kind)
	}
	var err error
	f.body, err = readBody(r, int(size-headerRest))
	return f, err
}

// firstPiece is how much of a body is believed in before any of it has come.
const firstPiece = 64 << 10

// readBody grows with what arrives: a length alone must not cost memory.
func readBody(r io.Reader, size int) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	body := make([]byte, 0, min(size, firstPiece))
	for {
		have := len(body)
		body = body[:min(size, cap(body))]
		if _, err := io.ReadFull(r, body[have:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if len(body) == size {
			return body, nil
		}
		body = slices.Grow(body, min(size, 2*len(body))-len(body))
	}
}

// hello is what a server says first: a client that has read it knows that it was
// let in, so that whatever fails before is certainly not sent.
type hello struct {
	maxBody uint32
}

const (
	helloMagic   = "HFPR"
	helloVersion = 1
	helloSize    = len(helloMagic) + 8
)

func (h hello) append(b []byte) []byte {
	b = append(b, helloMagic...)
	b = binary.BigEndian.AppendUint16(b, helloVersion)
	b = append(b, 0, 0)
	return binary.BigEndian.AppendUint32(b, h.maxBody)
}

func readHello(r io.Reader) (hello, error) {
	var b [helloSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return hello{}, fmt.Errorf("no greeting: %w", err)
	}
	if string(b[:4]) != helloMagic {
		return hello{}, fmt.Errorf("%w: greeting is not a server's", errProtocol)
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != helloVersion {
		return hello{}, fmt.Errorf("%w: version %d, this program speaks %d", errProtocol, v, helloVersion)
	}
	return hello{maxBody: binary.BigEndian.Uint32(b[8:])}, nil
}
