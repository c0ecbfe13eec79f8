package session

import "bytes"

// cursor walks canonical JSON, and nothing else: what the parser wrote. So it
// looks for no faults, and the members of an object come in order.
type cursor struct {
	in  []byte
	pos int
}

func (c *cursor) peek() byte { return c.in[c.pos] }

// atObject says whether the value that follows is an object.
func (c *cursor) atObject() bool { return c.peek() == '{' }

// atNull says whether the value that follows is null.
func (c *cursor) atNull() bool { return c.peek() == 'n' }

// key goes from an object's opening bracket, or from behind a member, into the
// next member, and returns its key in quotes: the value follows. At the
// object's end it returns nil and has passed the closing bracket.
func (c *cursor) key() []byte {
	passed := c.in[c.pos]
	c.pos++
	if passed == '{' && c.in[c.pos] == '}' {
		c.pos++
		return nil
	}
	if passed == '}' {
		return nil
	}
	start := c.pos
	c.passString()
	key := c.in[start:c.pos]
	c.pos++ // the colon
	return key
}

// value passes over the value that follows and returns its text.
func (c *cursor) value() []byte {
	start := c.pos
	for depth := 0; ; {
		switch c.in[c.pos] {
		case '"':
			c.passString()
		case '{', '[':
			depth++
			c.pos++
		case '}', ']':
			depth--
			c.pos++
		case ',', ':':
			c.pos++
		default:
			c.passScalar()
		}
		if depth == 0 {
			return c.in[start:c.pos]
		}
	}
}

func (c *cursor) passString() {
	c.pos++
	for c.in[c.pos] != '"' {
		if c.in[c.pos] == '\\' {
			c.pos++
		}
		c.pos++
	}
	c.pos++
}

// passScalar passes over a number or a literal.
func (c *cursor) passScalar() {
	for c.pos < len(c.in) {
		switch c.in[c.pos] {
		case ',', '}', ']':
			return
		}
		c.pos++
	}
}

// compareKeys orders two keys in quotes as their objects order them: by the
// bytes of what they spell, not of the spelling.
func compareKeys(a, b []byte) int {
	return bytes.Compare(unquoted(a), unquoted(b))
}

// unquoted returns what a canonical string spells; without an escape the
// result is part of text.
func unquoted(text []byte) []byte {
	inner := text[1 : len(text)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	s, err := (&parser{in: text}).string()
	if err != nil {
		panic("session: a canonical string does not read: " + err.Error())
	}
	return s
}
