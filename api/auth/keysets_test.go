package auth

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestKeySetsSaysWhichIssuerHasNone(t *testing.T) {
	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"keys":[]}`))
	}))
	defer empty.Close()
	l, err := OpenLogins(LoginConfig{Issuers: []Issuer{
		{Issuer: "https://b.invalid/", Audiences: []string{"a"}, JWKSURL: broken.URL, UserPrefix: "b|"},
		{Issuer: "https://a.invalid/", Audiences: []string{"a"}, JWKSURL: empty.URL, UserPrefix: "a|"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := l.KeySets(t.Context())
	if len(got) != 2 || got[0].Issuer != "https://a.invalid/" || got[0].Err == nil || got[1].Err == nil || !strings.Contains(got[1].Err.Error(), "404") || got[1].From != broken.URL {
		t.Errorf("%+v", got)
	}
}
