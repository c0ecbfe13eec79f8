package api

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/holdfastdb/holdfast/session"
)

func TestTheClientIsTheFirstAddressThatIsNotTrusted(t *testing.T) {
	trusted := proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name, peer string
		xff        []string
		forwarded  []string
		want       string
	}{
		{"no header", "10.0.0.1:5", nil, nil, "10.0.0.1"},
		{"untrusted peer", "192.0.2.1:5", []string{"198.51.100.1"}, nil, "192.0.2.1"},
		{"one hop", "10.0.0.1:5", []string{"198.51.100.1"}, nil, "198.51.100.1"},
		{"forged on the left", "10.0.0.1:5", []string{"1.2.3.4, 198.51.100.1"}, nil, "198.51.100.1"},
		{"two proxies", "10.0.0.1:5", []string{"1.2.3.4, 198.51.100.1, 10.0.0.2"}, nil, "198.51.100.1"},
		{"two lines", "10.0.0.1:5", []string{"1.2.3.4", "198.51.100.1, 10.0.0.2"}, nil, "198.51.100.1"},
		{"all trusted", "10.0.0.1:5", []string{"10.0.0.3, 10.0.0.2"}, nil, "10.0.0.3"},
		{"rubbish", "10.0.0.1:5", []string{"198.51.100.1, x, 10.0.0.2"}, nil, "10.0.0.2"},
		{"empty", "10.0.0.1:5", []string{""}, nil, "10.0.0.1"},
		{"with a port", "10.0.0.1:5", []string{"198.51.100.1:99"}, nil, "198.51.100.1"},
		{"IPv6", "[fd00::1]:5", []string{"2001:db8::1"}, nil, "2001:db8::1"},
		{"IPv6 in brackets", "[fd00::1]:5", []string{"[2001:db8::1]:99"}, nil, "2001:db8::1"},
		{"mapped IPv4", "[::ffff:10.0.0.1]:5", []string{"::ffff:198.51.100.1"}, nil, "198.51.100.1"},
		{"RFC 7239", "10.0.0.1:5", nil, []string{`for=1.2.3.4, for="[2001:db8::1]:99";proto=https;by=10.0.0.9`}, "2001:db8::1"},
		{"RFC 7239, case and quotes", "10.0.0.1:5", nil, []string{`For="198.51.100.1", FOR=10.0.0.3;by="a,b;c\"d"`}, "198.51.100.1"},
		{"RFC 7239, hidden", "10.0.0.1:5", nil, []string{`for=1.2.3.4, for=_hidden`}, "10.0.0.1"},
		{"RFC 7239, unknown", "10.0.0.1:5", nil, []string{`for=1.2.3.4, proto=https`}, "10.0.0.1"},
		{"both", "10.0.0.1:5", []string{"198.51.100.1"}, []string{"for=1.2.3.4"}, "198.51.100.1"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{}}
		if c.xff != nil {
			r.Header["X-Forwarded-For"] = c.xff
		}
		if c.forwarded != nil {
			r.Header["Forwarded"] = c.forwarded
		}
		if got := trusted.client(r); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if got, want := proxies(nil).client(r), strings.Trim(c.peer[:strings.LastIndex(c.peer, ":")], "[]"); got != want {
			t.Errorf("%s: without proxies got %s, want %s", c.name, got, want)
		}
	}
}

func TestTimesAreWrittenAsTheLibraryWritesThem(t *testing.T) {
	check := func(at session.Time) {
		t.Helper()
		want, err := json.Marshal(at)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(appendTime(nil, at)); got != string(want) {
			t.Errorf("%d: got %s, want %s", at, got, want)
		}
	}
	for day := range 40000 { // a century and the leap years in it
		check(session.Time(day)*86400000 + session.Time(day*37%86400000) + 1)
	}
	for _, text := range []string{"2000-02-29T23:59:59.999Z", "2100-02-28T00:00:00Z", "2100-03-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z", "2400-02-29T12:00:00Z"} {
		check(session.FromStd(must(time.Parse(time.RFC3339Nano, text))))
	}
	if got := string(appendTime(nil, 0)); got != "null" {
		t.Errorf("no time is %s", got)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\u2028\"\\\x00\x1f\x7f\xff\xed\xa0\x80é€😀\ufffd")
	f.Fuzz(func(t *testing.T, text string) {
		written := appendString(nil, text)
		var back string
		if err := json.Unmarshal(written, &back); err != nil {
			t.Fatalf("%q: %v", written, err)
		}
		if want := strings.ToValidUTF8(text, "\ufffd"); utf8.ValidString(text) && back != want {
			t.Errorf("%q came back as %q", text, back)
		}
		if strings.ContainsAny(string(written), "\u2028\u2029\n\r") {
			t.Errorf("%q ends a line", written)
		}
	})
}

func FuzzCookie(f *testing.F) {
	f.Add("a=b; __Host-holdfast=x", "__Host-holdfast")
	f.Add(" __Host-holdfast = x;;=;__Host-holdfast==", "__Host-holdfast")
	f.Fuzz(func(t *testing.T, line, name string) {
		if name == "" {
			return
		}
		value, count := cookie([]string{line}, name)
		if count > 0 && !strings.Contains(line, name+"="+value) {
			t.Errorf("%q in %q is %q", name, line, value)
		}
		// What the standard library finds, we find: a cookie must not hide from the check for two of them.
		parsed, err := http.ParseCookie(line)
		if err != nil || strings.ContainsAny(name, " \t;=") {
			return
		}
		standard := 0
		for _, c := range parsed {
			if c.Name == name {
				standard++
			}
		}
		if standard > count {
			t.Errorf("%q in %q: we find %d, the library %d", name, line, count, standard)
		}
	})
}

func FuzzTags(f *testing.F) {
	f.Add(`"1", W/"2",,"x"`)
	f.Add("*")
	f.Fuzz(func(t *testing.T, text string) {
		tags, _, ok := parseTags(text)
		for _, tag := range tags {
			if ok && (!strings.Contains(text, tag) || strings.Count(tag, `"`) != 2) {
				t.Errorf("%q of %q", tag, text)
			}
			if version, known := tagVersion(tag); known && version == 0 {
				t.Errorf("%q is version 0", tag)
			}
		}
	})
}

func FuzzForwarded(f *testing.F) {
	f.Add(`for="[2001:db8::1]";by=x, for=1.2.3.4`, "10.0.0.1, x")
	f.Fuzz(func(t *testing.T, forwarded, xff string) {
		trusted := proxies{netip.MustParsePrefix("0.0.0.0/0")}
		r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"Forwarded": {forwarded}}}
		if _, err := netip.ParseAddr(trusted.client(r)); err != nil {
			t.Error(err)
		}
		r.Header["X-Forwarded-For"] = []string{xff}
		if _, err := netip.ParseAddr(trusted.client(r)); err != nil {
			t.Error(err)
		}
	})
}

func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"c":[1,2]},"d":"\ud83d\ude00"}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte(`{"\ud800":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		seen := make(map[string]bool)
		err := members(body, func(name string, value json.RawMessage) error {
			if seen[name] {
				t.Errorf("%q twice", name)
			}
			seen[name] = true
			return nil
		})
		if err == nil && len(body) > 0 && !json.Valid(body) {
			t.Errorf("%q is accepted", body)
		}
	})
}

func TestADeadlineStartsNoTimerUntilSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadline{parent: t.Context(), at: time.Now().Add(5 * time.Second)}
		if d.Err() != nil || d.inner != nil {
			t.Fatal("looking at the error made a timer")
		}
		child, cancel := context.WithCancel(d)
		defer cancel()
		<-child.Done()
		if context.Cause(child) != context.DeadlineExceeded || d.Err() != context.DeadlineExceeded {
			t.Errorf("ended by %v, %v", context.Cause(child), d.Err())
		}
		d.end()

		late := &deadline{parent: t.Context(), at: time.Now().Add(time.Second)}
		time.Sleep(time.Second) // the bubble's clock
		if late.Err() != context.DeadlineExceeded || late.inner != nil {
			t.Errorf("without a timer: %v", late.Err())
		}

		parent, stop := context.WithCancel(t.Context())
		gone := &deadline{parent: parent, at: time.Now().Add(time.Hour)}
		stop()
		if gone.Err() != context.Canceled {
			t.Errorf("the caller has gone: %v", gone.Err())
		}
		<-gone.Done()
		gone.end()
	})
}

func TestValidateNamesAllFaults(t *testing.T) {
	err := Config{
		NodeID: "a b", RequestTimeout: -1, MaxConns: -1, RatePerAddress: -1, AccessLog: "some",
		TrustedProxies: []netip.Prefix{{}}, Hosts: []string{""}, TrustedOrigins: []string{"example.com"}, TLS: &tls.Config{},
	}.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"node-id", "request-timeout", "max-conns", "rate-per-address", "access-log", "trusted-proxies", "hosts", "trusted-origins", "tls"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func FuzzParseCreate(f *testing.F) {
	f.Add([]byte(`{"user_id":"u","tenant_id":null,"data":{"a":1},"idle_timeout":"30m","absolute_timeout":"24h","auth":{"issuer":"i","time":"2026-03-01T10:00:00Z"},"carry":["cart"]}`))
	f.Add([]byte(`{"auth":{"time":"0001-01-01T00:00:00Z"},"idle_timeout":"9223372036854775807ns"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		request, err := parseCreate(body)
		if err != nil {
			if code := session.CodeOf(err); code != session.CodeInvalidRequest {
				t.Errorf("%q: %s", body, code)
			}
			return
		}
		if request.IdleTimeout < 0 || request.AbsoluteTimeout < 0 || request.Data != nil && !json.Valid(request.Data) {
			t.Errorf("%q became %+v", body, request)
		}
		for _, text := range append(request.Carry, request.UserID, request.TenantID, request.Auth.Issuer, request.Auth.Subject, request.Auth.SID, request.Auth.Method) {
			if !utf8.ValidString(text) {
				t.Errorf("%q brought %q", body, text)
			}
		}
	})
}

func FuzzQuery(f *testing.F) {
	f.Add("user_id=a&limit=1&cursor=x")
	f.Add("user_id=%ff;limit=%zz")
	f.Fuzz(func(t *testing.T, query string) {
		c := &call{r: &http.Request{URL: &url.URL{RawQuery: query}, Header: http.Header{}}}
		request, err := c.listRequest(&caller{credential: credentialKey})
		if err != nil && session.CodeOf(err) != session.CodeInvalidRequest {
			t.Errorf("%q: %v", query, err)
		}
		if err == nil && (request.Limit < 1 || request.Limit > session.MaxListLimit || session.ValidUserID(request.UserID) != nil) {
			t.Errorf("%q became %+v", query, request)
		}
	})
}

func FuzzLoggable(f *testing.F) {
	f.Add("/api/hfs_0191.secret\r\n\x1b[31m\u2028\u202e\xff")
	f.Fuzz(func(t *testing.T, text string) {
		line := loggable(text)
		if !utf8.ValidString(line) || len(line) > 4*maxLoggedPath || strings.ContainsAny(line, "\r\n\x1b\x00\u2028\u2029\u202e") {
			t.Errorf("%q is logged as %q", text, line)
		}
		if strings.Contains(strings.ToLower(line), "hfk_") {
			t.Errorf("%q is logged as %q", text, line)
		}
	})
}
