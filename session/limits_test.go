package session

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNamesAreHeldToTheirLimits(t *testing.T) {
	for name, err := range map[string]error{
		"too long":          ValidUserID(strings.Repeat("x", MaxUserIDBytes+1)),
		"a zero byte":       ValidTenantID("a\x00b"),
		"a line end":        ValidLabel("a\nb"),
		"a C1 control":      ValidLabel("a\u0085b"),
		"invalid UTF-8":     ValidUserID("\xff"),
		"in auth":           ValidAuth(Auth{SID: "\x7f"}),
		"a long issuer":     ValidAuth(Auth{Issuer: strings.Repeat("x", MaxIssuerBytes+1)}),
		"a long subject":    ValidAuth(Auth{Subject: strings.Repeat("x", MaxSubjectBytes+1)}),
		"a long auth.sid":   ValidAuth(Auth{SID: strings.Repeat("x", MaxSIDBytes+1)}),
		"a long way to log": ValidAuth(Auth{Method: strings.Repeat("x", MaxMethodBytes+1)}),
	} {
		if !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"a subject of Auth0":   ValidUserID("auth0|66f0-ü"),
		"nobody":               ValidUserID(""),
		"as long as it may be": ValidUserID(strings.Repeat("x", MaxUserIDBytes)),
		"a label with a space": ValidLabel("Ada's phone 📱"),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatAClientSaysOfItselfIsCutAndNeverRefused(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"as it is":           {"curl/8", "curl/8"},
		"a header injection": {"curl\r\nX: y\x00", "curlX: y"},
		"an ANSI sequence":   {"\x1b[31mred", "[31mred"},
		"invalid UTF-8":      {"a\xffb\xc3", "ab"},
		"cut between runes":  {"x" + strings.Repeat("é", MaxUserAgentBytes), "x" + strings.Repeat("é", (MaxUserAgentBytes-1)/2)},
		"exactly long":       {strings.Repeat("x", MaxUserAgentBytes), strings.Repeat("x", MaxUserAgentBytes)},
	} {
		if got := (Client{UserAgent: c.in}).Trimmed().UserAgent; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if c := (Client{IP: "192.0.2.1\r\n"}).Trimmed(); c.IP != "192.0.2.1" {
		t.Errorf("an address is trimmed to %q", c.IP)
	}
}

func FuzzTrimmed(f *testing.F) {
	f.Add("Mozilla/5.0 (é\xff)")
	f.Fuzz(func(t *testing.T, s string) {
		c := Client{IP: s, UserAgent: s}.Trimmed()
		if len(c.IP) > MaxIPBytes || len(c.UserAgent) > MaxUserAgentBytes || !utf8.ValidString(c.UserAgent) || !utf8.ValidString(c.IP) {
			t.Fatalf("%q is trimmed to %+v", s, c)
		}
		if c.Trimmed() != c {
			t.Fatalf("%q can be trimmed twice", s)
		}
	})
}
