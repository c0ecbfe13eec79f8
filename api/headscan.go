package api

import (
	"bytes"
	"strconv"
)

// refusal is why a connection's bytes are refused before they are a request.
type refusal uint8

const (
	refusedNot refusal = iota
	refusedMalformed
	refusedLineFeed
	refusedFolded
	refusedTwoLengths
	refusedOldCoding
	refusedHeadSize
	refusedPlain // in place of a TLS handshake
)

// headScan follows the requests of one HTTP/1 connection, as far as it takes to see where each head begins and ends:
// net/http accepts, and hides from handlers, what two parsers on one way may read differently.
//
//	line of head ──empty line──▶ body of n bytes ──▶ line of head …
//	     └──── Transfer-Encoding in the head: the rest is not followed, as the connection ends after that request
//
// The zero headScan is at the start of a connection.
type headScan struct {
	partial []byte // the current line, if it began in earlier bytes
	size    int    // bytes of the current head
	lines   int    // complete lines of the current head
	body    uint64 // bytes of the current body that are still to come
	lengths int    // Content-Length headers of the current head
	length  uint64
	coded   bool // a Transfer-Encoding header in the current head
	old     bool // the current head is of HTTP/1.0
	blind   bool // the rest is not followed
}

// feed follows the next bytes. If they must be refused it says why, and how many of them may still be read.
func (s *headScan) feed(p []byte) (keep int, why refusal) {
	at := 0
	for at < len(p) && !s.blind {
		if s.body > 0 {
			step := min(s.body, uint64(len(p)-at))
			s.body -= step
			at += int(step)
			continue
		}
		if len(s.partial) == 0 && s.lines > 0 && (p[at] == ' ' || p[at] == '\t') {
			return at, refusedFolded
		}
		end := bytes.IndexByte(p[at:], '\n')
		step := end + 1
		if end < 0 {
			step = len(p) - at
		}
		if s.size += step; s.size > MaxHeaderBytes {
			return at, refusedHeadSize
		}
		if end < 0 {
			s.partial = append(s.partial, p[at:]...)
			return len(p), refusedNot
		}
		line := p[at : at+end]
		if len(s.partial) > 0 {
			s.partial = append(s.partial, line...)
			line = s.partial
		}
		if len(line) == 0 || line[len(line)-1] != '\r' {
			return at + end, refusedLineFeed
		}
		if why := s.line(line[:len(line)-1]); why != refusedNot {
			return max(at, at+end-1), why
		}
		s.partial = s.partial[:0]
		at += step
	}
	return len(p), refusedNot
}

// line follows one complete line of a head.
func (s *headScan) line(line []byte) refusal {
	if len(line) == 0 {
		s.blind = s.coded
		s.body = s.length
		s.size, s.lines, s.lengths, s.length, s.coded, s.old = 0, 0, 0, 0, false, false
		return refusedNot
	}
	s.lines++
	if s.lines == 1 {
		s.old = bytes.HasSuffix(line, []byte(" HTTP/1.0"))
		return refusedNot
	}
	switch line[0] | 0x20 {
	case 'c':
		value, ok := headerValue(line, "content-length")
		if !ok {
			return refusedNot
		}
		length, err := strconv.ParseUint(string(value), 10, 63)
		if err != nil {
			return refusedMalformed
		}
		s.lengths++
		s.length = length
	case 't':
		if _, ok := headerValue(line, "transfer-encoding"); !ok {
			return refusedNot
		}
		s.coded = true
		if s.old { // net/http would ignore it, and take the body for the next request (RFC 9112, section 6.1)
			return refusedOldCoding
		}
	default:
		return refusedNot
	}
	if s.lengths > 1 || s.coded && s.lengths > 0 {
		return refusedTwoLengths
	}
	return refusedNot
}

// headerValue is the value of a header line of that name (lower-case), without the white space around it.
func headerValue(line []byte, name string) ([]byte, bool) {
	if len(line) <= len(name) || line[len(name)] != ':' || !bytes.EqualFold(line[:len(name)], []byte(name)) {
		return nil, false
	}
	return bytes.Trim(line[len(name)+1:], " \t"), true
}
