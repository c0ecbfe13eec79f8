package session

import "time"

// Time is a moment of the log's clock in milliseconds since the Unix epoch.
// Moments compare with the language's own operators.
type Time int64

// FromStd cuts t to the millisecond.
func FromStd(t time.Time) Time { return Time(t.UnixMilli()) }

// Std returns t in UTC.
func (t Time) Std() time.Time { return time.UnixMilli(int64(t)).UTC() }

// Add returns t+d; d is cut to the millisecond.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Milliseconds()) }

// Sub returns t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Millisecond }

// Before says whether t is earlier than u.
func (t Time) Before(u Time) bool { return t < u }

// After says whether t is later than u.
func (t Time) After(u Time) bool { return t > u }

// Compare orders t and u as cmp.Compare does.
func (t Time) Compare(u Time) int {
	switch {
	case t < u:
		return -1
	case t > u:
		return 1
	}
	return 0
}

// AppendRFC3339 appends t in RFC 3339 form, UTC, with exactly three fractional
// digits: 2026-01-31T09:08:07.006Z.
func (t Time) AppendRFC3339(dst []byte) []byte {
	at := t.Std()
	// The standard library formats this one layout at once, and reads any other
	// piece by piece; what it appends ends in Z.
	dst = at.AppendFormat(dst, time.RFC3339)
	ms := at.Nanosecond() / int(time.Millisecond)
	return append(dst[:len(dst)-1], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// String returns the RFC 3339 form of AppendRFC3339.
func (t Time) String() string { return string(t.AppendRFC3339(nil)) }

// MarshalJSON writes the RFC 3339 form as a JSON string.
func (t Time) MarshalJSON() ([]byte, error) {
	return append(t.AppendRFC3339([]byte{'"'}), '"'), nil
}
