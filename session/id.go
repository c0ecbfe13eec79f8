package session

import "io"

// ID names a session. It is a UUID of version 7 (RFC 9562): its first 48 bits
// are milliseconds, so that new sessions append to the table, and 74 bits are
// random. An ID is public; it proves nothing.
type ID [16]byte

const idTextLen = 36

// IsZero says whether id names no session.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the canonical lower-case form of 36 characters.
func (id ID) String() string { return string(id.append(make([]byte, 0, idTextLen))) }

// AppendText appends the canonical form; the error is always nil.
func (id ID) AppendText(dst []byte) ([]byte, error) { return id.append(dst), nil }

// MarshalText returns the canonical form; the error is always nil.
func (id ID) MarshalText() ([]byte, error) { return id.append(nil), nil }

func (id ID) append(dst []byte) []byte {
	var text [idTextLen]byte
	at := 0
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text[at] = '-'
			at++
		}
		text[at], text[at+1] = hexDigits[b>>4], hexDigits[b&15]
		at += 2
	}
	return append(dst, text[:]...)
}

// ParseID reads the canonical form and no other: lower case, dashes in place,
// version 7. Anything else is ErrInvalidRequest.
func ParseID(s string) (ID, error) {
	id, ok := parseID(s)
	if !ok {
		return ID{}, ErrInvalidRequest.With("a session id is a lower-case UUID of version 7, 36 characters long")
	}
	return id, nil
}

func parseID(s string) (id ID, ok bool) {
	if len(s) != idTextLen {
		return ID{}, false
	}
	digit := 0
	for i := range len(s) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return ID{}, false
			}
			continue
		}
		v, ok := hexDigit(s[i])
		if !ok {
			return ID{}, false
		}
		id[digit/2] |= v << (4 * (1 - digit%2))
		digit++
	}
	return id, id[6]>>4 == 7 && id[8]>>6 == 2
}

// hexDigit reads one lower-case hexadecimal digit.
func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// newID draws an ID whose time part is at.
func newID(rand io.Reader, at Time) (ID, error) {
	var id ID
	if _, err := io.ReadFull(rand, id[6:]); err != nil {
		return ID{}, err
	}
	for i := range 6 {
		id[i] = byte(uint64(at) >> (40 - 8*i))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id, nil
}
