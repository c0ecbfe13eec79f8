package session

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// CanonicalObject returns raw, which must be one JSON object, in the one
// spelling that is stored: no white space, keys sorted by their bytes, strings
// with the fewest and shortest escapes, numbers with the digits they came with
// (1, 1.0 and 1e0 stay three spellings). It refuses, with ErrInvalidRequest,
// whatever RFC 8259 does not allow and also duplicate keys, invalid UTF-8, half
// surrogate pairs and nesting beyond MaxDepth; with ErrPayloadTooLarge, more
// than MaxDataBytes. The result is never longer than raw and shares no memory
// with it.
func CanonicalObject(raw []byte) ([]byte, error) {
	if _, err := bounded(raw); err != nil {
		return nil, err
	}
	text, err := canonical(raw)
	if err != nil {
		return nil, err
	}
	if text[0] != '{' {
		return nil, ErrInvalidRequest.With("data must be a JSON object")
	}
	return text, nil
}

func bounded(data []byte) ([]byte, error) {
	if len(data) > MaxDataBytes {
		return nil, ErrPayloadTooLarge.With("data is %d bytes long; the limit is %d", len(data), MaxDataBytes)
	}
	return data, nil
}

// canonical spells any JSON value canonically.
func canonical(raw []byte) ([]byte, error) {
	if !utf8.Valid(raw) {
		return nil, ErrInvalidRequest.With("the JSON is not valid UTF-8")
	}
	p := &parser{in: raw, out: make([]byte, 0, len(raw)), marks: make([]mark, 0, 16)}
	if err := p.value(1); err != nil {
		return nil, err
	}
	if p.next() != 0 || p.pos < len(p.in) {
		return nil, p.fault("something follows the JSON value")
	}
	return p.out, nil
}

// parser reads one JSON text (RFC 8259) and writes its canonical spelling in
// the same pass. It builds no tree: a hostile document of thirty thousand
// numbers costs no more than its own length.
type parser struct {
	in    []byte
	pos   int
	out   []byte
	marks []mark // members of the objects that are open, innermost last
	spare []byte // where members wait while their object is put in order
}

// mark is one member of an open object: its key, unescaped, and where it
// stands in out.
type mark struct {
	key      []byte
	from, to int
}

func (p *parser) fault(what string) error {
	return ErrInvalidRequest.With("JSON: %s at byte %d", what, p.pos)
}

// next passes over white space and peeks at what follows; 0 at the end.
func (p *parser) next() byte {
	for p.pos < len(p.in) {
		switch c := p.in[p.pos]; c {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return c
		}
	}
	return 0
}

// emit copies what was read since start.
func (p *parser) emit(start int) { p.out = append(p.out, p.in[start:p.pos]...) }

func (p *parser) value(depth int) error {
	c := p.next()
	switch {
	case (c == '{' || c == '[') && depth > MaxDepth:
		return ErrInvalidRequest.With("JSON: nested deeper than %d", MaxDepth)
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		_, err := p.string()
		return err
	case c == '-' || (c >= '0' && c <= '9'):
		return p.number()
	}
	for _, literal := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(p.in[p.pos:], []byte(literal)) {
			p.pos += len(literal)
			p.out = append(p.out, literal...)
			return nil
		}
	}
	return p.fault("a value is missing")
}

func (p *parser) array(depth int) error {
	for more := p.enter(); more; {
		if err := p.value(depth + 1); err != nil {
			return err
		}
		var err error
		if more, err = p.more(']'); err != nil {
			return err
		}
	}
	p.out = append(p.out, ']')
	return nil
}

func (p *parser) object(depth int) error {
	start, base, ascending := len(p.out)+1, len(p.marks), true
	for more := p.enter(); more; {
		m := mark{from: len(p.out)}
		if p.next() != '"' {
			return p.fault("a key in quotes is missing")
		}
		var err error
		if m.key, err = p.string(); err != nil {
			return err
		}
		if p.next() != ':' {
			return p.fault("a colon is missing")
		}
		p.pos++
		p.out = append(p.out, ':')
		if err := p.value(depth + 1); err != nil {
			return err
		}
		m.to = len(p.out)
		if n := len(p.marks); n > base && bytes.Compare(p.marks[n-1].key, m.key) >= 0 {
			ascending = false
		}
		p.marks = append(p.marks, m)
		if more, err = p.more('}'); err != nil {
			return err
		}
	}
	if !ascending {
		if err := p.order(p.marks[base:], start); err != nil {
			return err
		}
	}
	p.marks = p.marks[:base]
	p.out = append(p.out, '}')
	return nil
}

// order puts the members of the object whose first member starts at start into
// the order of their keys. Each byte is moved once for each level of nesting
// at most, and those are bounded.
func (p *parser) order(members []mark, start int) error {
	slices.SortFunc(members, func(a, b mark) int { return bytes.Compare(a.key, b.key) })
	for i := 1; i < len(members); i++ {
		if key := members[i].key; bytes.Equal(key, members[i-1].key) {
			return ErrInvalidRequest.With("JSON: the key %q stands twice in one object", trimmed(string(key), 64))
		}
	}
	p.spare = append(p.spare[:0], p.out[start:]...)
	p.out = p.out[:start]
	for i, m := range members {
		if i > 0 {
			p.out = append(p.out, ',')
		}
		p.out = append(p.out, p.spare[m.from-start:m.to-start]...)
	}
	return nil
}

// enter passes over an opening bracket, and says whether something is inside.
func (p *parser) enter() bool {
	closing := p.in[p.pos] + 2 // in ASCII '}' is '{'+2, and ']' is '['+2
	p.out = append(p.out, p.in[p.pos])
	p.pos++
	if p.next() != closing {
		return true
	}
	p.pos++
	return false
}

// more passes over a comma (true) or the closing bracket (false).
func (p *parser) more(closing byte) (bool, error) {
	switch p.next() {
	case ',':
		p.pos++
		p.out = append(p.out, ',')
		return true, nil
	case closing:
		p.pos++
		return false, nil
	}
	return false, p.fault("a comma or a closing bracket is missing")
}

// number keeps the digits as they came: a float64 would lose those beyond 2^53.
func (p *parser) number() error {
	start := p.pos
	p.skip('-', '-')
	first := p.pos
	if !p.digits() || (p.in[first] == '0' && p.pos > first+1) {
		return p.fault("a number is not well-formed")
	}
	if p.skip('.', '.') && !p.digits() {
		return p.fault("a number ends with its point")
	}
	if p.skip('e', 'E') {
		p.skip('+', '-')
		if !p.digits() {
			return p.fault("a number's exponent is missing")
		}
	}
	p.emit(start)
	return nil
}

// skip passes over one byte if it is either of the two.
func (p *parser) skip(a, b byte) bool {
	if p.pos < len(p.in) && (p.in[p.pos] == a || p.in[p.pos] == b) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) digits() bool {
	start := p.pos
	for p.pos < len(p.in) && p.in[p.pos] >= '0' && p.in[p.pos] <= '9' {
		p.pos++
	}
	return p.pos > start
}
