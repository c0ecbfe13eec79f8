package api

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/holdfastdb/holdfast/session"
)

// The functions here write JSON by hand: a read answers several times ten thousand a second, and reflection would cost
// more than all the rest of it.

const hexDigits = "0123456789abcdef"

func decimal(n int) string { return strconv.Itoa(n) }

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// appendString writes a JSON string. What is no UTF-8 becomes U+FFFD; U+2028 and U+2029 are escaped, as they end a line
// in JavaScript and in some readers of logs.
func appendString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	plain := 0 // text[plain:i] needs no escape
	for i := 0; i < len(text); {
		b := text[i]
		if b >= ' ' && b != '"' && b != '\\' && b < utf8.RuneSelf {
			i++
			continue
		}
		if b < utf8.RuneSelf {
			dst = append(dst, text[plain:i]...)
			dst = appendEscape(dst, b)
			i++
			plain = i
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, text[plain:i]...), `\ufffd`...)
		case r == '\u2028', r == '\u2029':
			dst = append(append(dst, text[plain:i]...), `\u202`...)
			dst = append(dst, hexDigits[r&0xf])
		default:
			i += size
			continue
		}
		i += size
		plain = i
	}
	return append(append(dst, text[plain:]...), '"')
}

func appendEscape(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&0xf])
}

// appendTime writes a time as RFC 3339 in UTC with milliseconds, quoted; null for the zero time, which means "never".
func appendTime(dst []byte, at session.Time) []byte {
	if at == 0 {
		return append(dst, "null"...)
	}
	const dayMS = 24 * 60 * 60 * 1000
	if at < 0 || at >= 253402300800000 { // before 1970 or after 9999: no time of a session, but never a wrong text
		return at.Std().UTC().AppendFormat(append(dst, '"'), `2006-01-02T15:04:05.000Z"`)
	}
	days, rest := int(at/dayMS), int(at%dayMS)
	year, month, day := civil(days)
	text := [26]byte{0: '"', 5: '-', 8: '-', 11: 'T', 14: ':', 17: ':', 20: '.', 24: 'Z', 25: '"'}
	twoDigits(text[1:], year/100)
	twoDigits(text[3:], year%100)
	twoDigits(text[6:], month)
	twoDigits(text[9:], day)
	twoDigits(text[12:], rest/3600000)
	twoDigits(text[15:], rest/60000%60)
	twoDigits(text[18:], rest/1000%60)
	twoDigits(text[21:], rest%1000/10)
	text[23] = byte('0' + rest%10)
	return append(dst, text[:]...)
}

// civil turns days since 1970-01-01 into a date of the Gregorian calendar, by counting in eras of 400 years from the 1st
// of March (Howard Hinnant, "chrono-compatible low-level date algorithms").
func civil(days int) (year, month, day int) {
	days += 719468
	era := days / 146097
	dayOfEra := days % 146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*dayOfYear + 2) / 153 // 0 is March
	day = dayOfYear - (153*shifted+2)/5 + 1
	month = shifted + 3
	year = yearOfEra + era*400
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

func twoDigits(dst []byte, n int) { dst[0], dst[1] = byte('0'+n/10), byte('0'+n%10) }

// wholeSeconds is a duration for expires_in: rounded down, so that nobody counts on a session that is gone, and never
// negative.
func wholeSeconds(d time.Duration) int64 { return max(0, int64(d/time.Second)) }
