package session

import (
	"unicode/utf16"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// plain says whether c stands for itself inside a string.
func plain(c byte) bool { return c >= 0x20 && c != '"' && c != '\\' }

// string reads a quoted string, writes its canonical spelling and returns it
// unescaped; where there was no escape, the result is part of the input.
func (p *parser) string() ([]byte, error) {
	start := p.pos
	p.pos++
	for p.pos < len(p.in) && plain(p.in[p.pos]) {
		p.pos++
	}
	// The capacity is cut, so that an escape copies instead of writing into the input.
	s := p.in[start+1 : p.pos : p.pos]
	for p.pos < len(p.in) {
		switch c := p.in[p.pos]; {
		case c == '"':
			p.pos++
			if p.pos-start == len(s)+2 { // every escape is longer than what it stands for
				p.emit(start)
			} else {
				p.out = appendString(p.out, s)
			}
			return s, nil
		case c == '\\':
			var err error
			if s, err = p.escape(s); err != nil {
				return nil, err
			}
		case c < 0x20:
			return nil, p.fault("a control character stands in a string")
		default:
			s = append(s, c)
			p.pos++
		}
	}
	return nil, p.fault("a string is not closed")
}

// escape reads one escape, or the two of a surrogate pair, and appends the
// character that it stands for.
func (p *parser) escape(s []byte) ([]byte, error) {
	if p.pos+1 >= len(p.in) {
		return nil, p.fault("an escape is cut short")
	}
	c := p.in[p.pos+1]
	if c == 'u' {
		r, ok := p.unicode()
		if !ok {
			return nil, p.fault("a \\u escape is not a character")
		}
		return utf8.AppendRune(s, r), nil
	}
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	default:
		return nil, p.fault("an escape is unknown")
	}
	p.pos += 2
	return append(s, c), nil
}

// unicode reads \uXXXX, or a surrogate pair of two; half a pair is no character.
func (p *parser) unicode() (rune, bool) {
	high, ok := p.hex4()
	if !ok || !utf16.IsSurrogate(high) {
		return high, ok
	}
	low, ok := p.hex4()
	r := utf16.DecodeRune(high, low)
	return r, ok && r != utf8.RuneError
}

// hex4 reads \uXXXX at the position.
func (p *parser) hex4() (rune, bool) {
	if p.pos+6 > len(p.in) || p.in[p.pos] != '\\' || p.in[p.pos+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range p.in[p.pos+2 : p.pos+6] {
		if c >= 'A' && c <= 'F' {
			c += 'a' - 'A'
		}
		v, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(v)
	}
	p.pos += 6
	return r, true
}

// appendString writes s with the escapes that RFC 8259 demands and no other,
// the short ones where there are any (as RFC 8785 does). This spelling is
// replicated state, so it is ours and not a library's.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	done := 0
	for i, c := range s {
		if plain(c) {
			continue
		}
		dst = append(dst, s[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, s[done:]...), '"')
}
