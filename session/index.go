package session

import "strconv"

// Index is a place in one cluster's log. Its text is the cluster in 16
// lower-case hexadecimal digits, a dot, and the index in decimal. The zero
// Index asks for nothing.
type Index struct {
	Cluster uint64
	Index   uint64
}

// Consistency is what a read asks for: at least the state at AtLeast, and,
// where Strong is set, every write that was acknowledged before the read began.
type Consistency struct {
	AtLeast Index
	Strong  bool
	Doubt   Doubt
}

// Doubt bounds how often somebody may have a node confirm that a token is none
// of a live session, which costs the cluster more than a yes. It is called before
// with false: its error is the answer instead. Where the token was none it is
// called with true, and counts. Nil never objects.
type Doubt func(confirmed bool) error

// Ask is called before a token is confirmed to be none.
func (d Doubt) Ask() error {
	if d == nil {
		return nil
	}
	return d(false)
}

// Count is called for a token that was none.
func (d Doubt) Count() {
	if d != nil {
		_ = d(true) // what is over the limit is refused the next time
	}
}

// IsZero says whether i names no place.
func (i Index) IsZero() bool { return i == Index{} }

// String returns the text form.
func (i Index) String() string {
	b, _ := i.AppendText(make([]byte, 0, 37))
	return string(b)
}

// AppendText appends the text form; the error is always nil.
func (i Index) AppendText(dst []byte) ([]byte, error) {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[i.Cluster>>shift&15])
	}
	return strconv.AppendUint(append(dst, '.'), i.Index, 10), nil
}

// ParseIndex reads the text form in its one spelling; anything else is
// ErrInvalidRequest.
func ParseIndex(s string) (Index, error) {
	i, ok := parseIndex(s)
	if !ok {
		return Index{}, ErrInvalidRequest.With("an index is 16 lower-case hexadecimal digits, a dot and a decimal number, as an earlier answer gave it")
	}
	return i, nil
}

func parseIndex(s string) (i Index, ok bool) {
	if len(s) < 18 || len(s) > 37 || s[16] != '.' {
		return Index{}, false
	}
	for n := range 16 {
		v, ok := hexDigit(s[n])
		if !ok {
			return Index{}, false
		}
		i.Cluster = i.Cluster<<4 | uint64(v)
	}
	i.Index, ok = parseDecimal(s[17:], 64)
	return i, ok
}

// parseDecimal reads a decimal number in its one spelling: digits alone, no
// leading zero.
func parseDecimal(s string, bits int) (uint64, bool) {
	if len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil
}
