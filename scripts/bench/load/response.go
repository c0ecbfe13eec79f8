package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// errMalformed is the sentinel of every answer that is not HTTP/1.1 as a node may speak it.
var errMalformed = errors.New("malformed response")

func malformed(what string) error { return fmt.Errorf("%w: %s", errMalformed, what) }

const (
	maxHeadBytes = 64 << 10 // of an answer's status line and headers
	maxBodyBytes = 1 << 20  // the largest answer that is asked for is a session, at most 64 KiB of data
	initialBytes = 4 << 10
)

// A response is one parsed answer. Body is valid until the next one is read.
type response struct {
	status int
	body   []byte
	close  bool // the connection ends after this answer
}

// A parser reads answers off one connection. All that it needs of an answer is its status, its body and where it ends.
type parser struct {
	src    io.Reader
	buf    []byte
	at     int    // start of what has been read and not used
	end    int    // end of what has been read
	joined []byte // the body of a chunked answer
}

// head is what the headers say about the body.
type head struct {
	length  int // -1: not given
	chunked bool
	close   bool
}

// next reads one answer. io.EOF means that the connection ended before its first byte.
func (p *parser) next() (response, error) {
	for {
		line, err := p.head()
		if err != nil {
			return response{}, err
		}
		status, rest, err := statusOf(line)
		if err != nil {
			return response{}, err
		}
		h, err := headersOf(rest)
		if err != nil {
			return response{}, err
		}
		if status < 200 {
			continue // an interim answer: the real one follows
		}
		r := response{status: status, close: h.close}
		switch {
		case status == 204 || status == 304:
		case h.chunked:
			r.body, err = p.chunks()
		case h.length >= 0:
			r.body, err = p.take(h.length)
		default:
			r.close = true
			r.body, err = p.untilEnd()
		}
		return r, err
	}
}

// head returns the bytes up to the empty line, without it.
func (p *parser) head() ([]byte, error) {
	from := 0 // where to look on
	for {
		if i := bytes.Index(p.buf[p.at+from:p.end], []byte("\r\n\r\n")); i >= 0 {
			line := p.buf[p.at : p.at+from+i+2]
			p.at += from + i + 4
			return line, nil
		}
		from = max(p.end-p.at-3, 0)
		if p.end-p.at > maxHeadBytes {
			return nil, malformed("headers without end")
		}
		if err := p.fill(); err != nil {
			if p.end > p.at && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// fill reads once more, and makes room first if there is none.
func (p *parser) fill() error {
	if p.at == p.end {
		p.at, p.end = 0, 0
	}
	if p.end == len(p.buf) {
		if p.at > 0 {
			copy(p.buf, p.buf[p.at:p.end])
			p.at, p.end = 0, p.end-p.at
		} else {
			p.buf = append(p.buf, make([]byte, max(initialBytes, len(p.buf)))...)
		}
	}
	n, err := p.src.Read(p.buf[p.end:])
	p.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// take returns the next n bytes.
func (p *parser) take(n int) ([]byte, error) {
	if n > maxBodyBytes {
		return nil, malformed("body too large")
	}
	for p.end-p.at < n {
		if err := p.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
	body := p.buf[p.at : p.at+n]
	p.at += n
	return body, nil
}

// line returns the next line without its CRLF.
func (p *parser) line() ([]byte, error) {
	for {
		if i := bytes.Index(p.buf[p.at:p.end], []byte("\r\n")); i >= 0 {
			line := p.buf[p.at : p.at+i]
			p.at += i + 2
			return line, nil
		}
		if p.end-p.at > maxHeadBytes {
			return nil, malformed("line without end")
		}
		if err := p.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// chunks reads a chunked body (RFC 9112, 7.1) with its trailers.
func (p *parser) chunks() ([]byte, error) {
	p.joined = p.joined[:0]
	for {
		line, err := p.line()
		if err != nil {
			return nil, err
		}
		size, err := chunkSize(line)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			return p.joined, p.trailers()
		}
		if len(p.joined)+size > maxBodyBytes {
			return nil, malformed("body too large")
		}
		part, err := p.take(size + 2)
		if err != nil {
			return nil, err
		}
		if part[size] != '\r' || part[size+1] != '\n' {
			return nil, malformed("chunk without end")
		}
		p.joined = append(p.joined, part[:size]...)
	}
}

func (p *parser) trailers() error {
	for total := 0; total <= maxHeadBytes; {
		line, err := p.line()
		if err != nil || len(line) == 0 {
			return err
		}
		total += len(line)
	}
	return malformed("trailers without end")
}

// untilEnd reads a body that ends with its connection.
func (p *parser) untilEnd() ([]byte, error) {
	for p.end-p.at <= maxBodyBytes {
		if err := p.fill(); errors.Is(err, io.EOF) {
			body := p.buf[p.at:p.end]
			p.at = p.end
			return body, nil
		} else if err != nil {
			return nil, err
		}
	}
	return nil, malformed("body too large")
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
