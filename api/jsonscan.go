package api

// maxNesting is how deep arrays and objects may lie in each other within one member's value. It is what encoding/json
// allows, which reads the same values after us; session allows far less of data.
const maxNesting = 10000

// jsonScan walks over a JSON text once and finds where its values end, so that a body is read without the tokens and
// the reflection of encoding/json. It accepts just what RFC 8259 calls JSON; that the text is UTF-8 is checked before.
type jsonScan struct {
	text []byte
	at   int // of the next byte
}

// space moves to the next byte that is no white space, or to the end.
func (s *jsonScan) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// next moves to the next byte that is no white space and gives it. Before the end it gives zero and stays, so that an
// error names the last byte that was understood.
func (s *jsonScan) next() byte {
	before := s.at
	s.space()
	if s.at == len(s.text) {
		s.at = before
		return 0
	}
	return s.text[s.at]
}

// take moves over c, if that is the next byte.
func (s *jsonScan) take(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// value moves over one value, with the white space before it. What follows the value is not looked at.
func (s *jsonScan) value() bool {
	var room [32]byte
	open := room[:0] // '{' or '[' of each object and array that s.at is in
	for {
		c := s.next()
		switch c {
		case '{', '[':
			if len(open) == maxNesting {
				return false
			}
			s.at++
			open = append(open, c)
			if s.next() == c+2 { // empty: in ASCII a bracket's partner is two further
				break
			}
			if c == '{' && !s.name() {
				return false
			}
			continue
		default:
			if !s.scalar(c) {
				return false
			}
		}
		if open = s.closed(open); len(open) == 0 {
			return true
		}
		if !s.take(',') || open[len(open)-1] == '{' && !s.name() {
			return false
		}
	}
}

// closed moves over the brackets that end what is open, up to a byte that ends nothing, and gives what is still open.
func (s *jsonScan) closed(open []byte) []byte {
	for len(open) > 0 && s.next() == open[len(open)-1]+2 {
		s.at++
		open = open[:len(open)-1]
	}
	return open
}

// name moves over the name of a member and its colon.
func (s *jsonScan) name() bool {
	if s.next() != '"' || !s.quoted() || s.next() != ':' {
		return false
	}
	s.at++
	return true
}

// scalar moves over the string, number or literal that starts with c.
func (s *jsonScan) scalar(c byte) bool {
	switch c {
	case '"':
		return s.quoted()
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.number()
}

func (s *jsonScan) literal(word string) bool {
	end := s.at + len(word)
	if end > len(s.text) || string(s.text[s.at:end]) != word {
		return false
	}
	s.at = end
	return true
}

// quoted moves over a string, whose opening quote is the next byte.
func (s *jsonScan) quoted() bool {
	text := s.text
	for i := s.at + 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			s.at = i + 1
			return true
		case c < ' ':
			return false
		case c == '\\':
			n := escapeLen(text[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		}
	}
	return false
}

// escapeLen is the length of the escape that text starts with, zero if it is none.
func escapeLen(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := escapedUnit(text); ok {
			return 6
		}
	}
	return 0
}

func (s *jsonScan) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		return s.digits()
	}
	return true
}

// digits moves over at least one digit.
func (s *jsonScan) digits() bool {
	start := s.at
	for s.at < len(s.text) && s.text[s.at]-'0' <= 9 {
		s.at++
	}
	return s.at > start
}
