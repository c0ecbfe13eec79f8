package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/session"
)

func createFor(user string) session.Create {
	return session.Create{Actor: session.Actor{Service: true, Client: session.Client{IP: "192.0.2.1", UserAgent: firefox}}, UserID: user}
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

func TestASessionLivesAndDies(t *testing.T) {
	n := newNode(t, nil)
	created := n.do("POST", "/api/sessions/create", `{"data":{"b":1,"a":12345678901234567890}}`, bearer(n.jwt("auth0|1", map[string]any{"org_id": "org_1", "sid": "s"})), "User-Agent: "+firefox).want(201)
	tok := n.secret(created.text("token"))
	created.wantMember("session.user_id", "auth0|1").wantMember("session.tenant_id", "org_1").wantMember("session.auth.issuer", issuer).
		wantMember("session.auth.subject", "auth0|1").wantMember("session.auth.method", "jwt").wantMember("session.device.ip", "127.0.0.1").
		wantMember("session.device.name", "Firefox on Linux").wantMember("session.is_current", true).wantMember("session.version", 1.0)
	if !strings.Contains(created.body, `"data":{"a":12345678901234567890,"b":1}`) {
		t.Errorf("data is not as it was sent: %s", created.body)
	}
	n.do("GET", "/api/sessions/current/", "", token(tok)).want(200).wantMember("session.id", created.text("session.id"))
	patched := n.do("PATCH", "/api/sessions/current/", `{"onboarded":true,"b":null}`, token(tok)).want(200).wantMember("session.data.onboarded", true).wantMember("session.version", 2.0)
	if etag := patched.header.Get("ETag"); etag != `"2"` {
		t.Errorf("ETag %s", etag)
	}
	n.sessions.pass(30 * time.Minute)
	n.do("POST", "/api/sessions/refresh/", "", token(tok)).want(200).wantMember("session.expires_in", 3599.0)
	n.do("GET", "/api/sessions/", "", token(tok)).want(200)
	n.do("DELETE", "/api/sessions/current/", "", token(tok)).want(204)
	n.do("DELETE", "/api/sessions/current/", "", token(tok)).want(204)
	n.do("GET", "/api/sessions/current/", "", token(tok)).wantCode(401, "session_invalid")
}

func TestEverySessionInvalidLooksTheSame(t *testing.T) {
	n := newNode(t, nil)
	revoked, _ := n.login(`{"user_id":"u1"}`)
	n.do("DELETE", "/api/sessions/current", "", token(revoked)).want(204)
	live, _ := n.login(`{"user_id":"u1"}`)
	expired, _ := n.login(`{"user_id":"u1","idle_timeout":"2s"}`)
	n.sessions.pass(5 * time.Second)
	wrong := live[:len(live)-43] + revoked[len(revoked)-43:]
	want := ""
	for name, headers := range map[string][]string{
		"missing":         nil,
		"revoked":         {token(revoked)},
		"expired":         {token(expired)},
		"wrong secret":    {token(wrong)},
		"cut":             {token(live[:40])},
		"upper case":      {token(strings.ToUpper(live))},
		"quoted":          {token(`"` + live + `"`)},
		"empty":           {token("")},
		"long":            {token(live + strings.Repeat("a", 4000))},
		"wrong cookie":    {asCookie(wrong)},
		"empty cookie":    {asCookie("")},
		"quoted cookie":   {asCookie(`"` + live + `"`)},
		"key alone":       {bearer(n.service)},
		"key and revoked": {bearer(n.service), beside(revoked)},
		"key and rubbish": {bearer(n.service), beside("x")},
		"another scheme":  {"Authorization: Basic dTpw"},
	} {
		for _, path := range []string{"GET /api/sessions/current/", "PATCH /api/sessions/current/", "POST /api/sessions/refresh/"} {
			method, path, _ := strings.Cut(path, " ")
			body := ""
			if method == "PATCH" {
				body = `{"a":1}`
			}
			a := n.do(method, path, body, headers...).wantCode(401, "session_invalid")
			if want == "" {
				want = a.body
			}
			if a.body != want || a.header.Get("WWW-Authenticate") != "Session" || a.header["Set-Cookie"] != nil {
				t.Errorf("%s: %s %s has another answer: %s %v", name, method, path, a.body, a.header)
			}
		}
	}
	if strings.Contains(want, "request_id") {
		t.Error("the body has a request id")
	}
}

func TestAPublicIDIsNoCredential(t *testing.T) {
	n := newNode(t, nil)
	_, id := n.login(`{"user_id":"u1"}`)
	other, _ := n.login(`{"user_id":"u2"}`)
	for _, method := range []string{"GET", "DELETE"} {
		n.do(method, "/api/sessions/by-id/"+id+"/", "", token(other)).wantCode(404, "not_found")
		n.do(method, "/api/sessions/by-id/"+id+"/", "").wantCode(401, "session_invalid")
	}
	n.do("PATCH", "/api/sessions/by-id/"+id+"/", `{"label":"mine"}`, token(other)).wantCode(404, "not_found")
	n.do("GET", "/api/sessions/by-id/nonsense/", "", token(other)).wantCode(404, "not_found")
}

func TestWhoMayCreate(t *testing.T) {
	n := newNode(t, nil)
	own, _ := n.login(`{"user_id":"u1"}`)
	jwt := n.jwt("u1", nil)
	create := func(body string, headers ...string) answer {
		a := n.do("POST", "/api/sessions/create/", body, headers...)
		if a.status == 201 {
			n.secret(a.text("token"))
		}
		return a
	}
	create("{}").wantCode(401, "login_invalid")
	create("{}", token(own)).wantCode(403, "forbidden")
	create("{}", asCookie(own)).wantCode(403, "forbidden")
	create("{}", bearer("hfk_"+strings.Repeat("A", 43))).wantCode(401, "key_invalid")
	create("{}", bearer(jwt+"x")).wantCode(401, "login_invalid")
	create("{}", bearer(own)).wantCode(401, "login_invalid")
	create("{}", bearer("")).wantCode(401, "login_invalid")
	create(`{"user_id":"u1"}`, bearer(jwt)).want(201)
	create(`{"user_id":"u2"}`, bearer(jwt)).wantCode(403, "forbidden")
	create(`{"tenant_id":"t"}`, bearer(jwt)).wantCode(403, "forbidden")
	create(`{"auth":{"method":"x"}}`, bearer(jwt)).wantCode(403, "forbidden")
	create(`{"data":{"plan":"pro"}}`, bearer(jwt)).wantCode(403, "protected_key")
	create(`{"absolute_timeout":"48h"}`, bearer(jwt)).wantCode(403, "forbidden")
	create(`{"idle_timeout":"2h"}`, bearer(jwt)).wantCode(403, "forbidden")
	create(`{"idle_timeout":"10m"}`, bearer(jwt)).want(201).wantMember("session.expires_in", 599.0)
	create("", bearer(jwt)).want(201)
	all := `{"user_id":"u9","tenant_id":"t","data":{"plan":"pro"},"idle_timeout":"2h","absolute_timeout":"48h","auth":{"issuer":"i","subject":"s","sid":"d","method":"saml","time":"2026-03-01T10:00:00Z"}}`
	create(all, bearer(n.service)).want(201).wantMember("session.user_id", "u9").wantMember("session.auth.time", "2026-03-01T10:00:00.000Z").wantMember("session.device.ip", nil)
	create(all, bearer(n.operator)).want(201)
	create("{}", bearer(n.service)).want(201).wantMember("session.user_id", nil)
	for range 10 {
		if a := create(`{"user_id":"many"}`, bearer(n.service)); a.status != 201 {
			a.wantCode(409, "session_limit")
			return
		}
	}
	t.Error("the limit of sessions was never reached")
}

func TestASessionSentAlongIsEndedNeverAdopted(t *testing.T) {
	n := newNode(t, nil)
	anonymous, id := n.login(`{"data":{"cart":[1],"other":2}}`)
	jwt := n.jwt("u1", nil)
	a := n.do("POST", "/api/sessions/create/", `{"carry":["cart"]}`, bearer(jwt), asCookie(anonymous)).want(201)
	fresh := n.secret(a.text("token"))
	if a.text("session.id") == id || !strings.Contains(a.body, `"data":{"cart":[1]}`) {
		t.Errorf("got %s", a.body)
	}
	n.do("GET", "/api/sessions/current/", "", token(anonymous)).wantCode(401, "session_invalid")
	// A dead cookie must not stand in the way of a login, nor a client's own choice be adopted.
	for _, cookie := range []string{anonymous, "chosen", strings.Repeat("x", 90)} {
		b := n.do("POST", "/api/sessions/create/", "{}", bearer(n.jwt("u1", nil)), asCookie(cookie)).want(201)
		if n.secret(b.text("token")) == cookie {
			t.Error("a chosen token was adopted")
		}
	}
	n.do("POST", "/api/sessions/create/", `{"user_id":"u2"}`, bearer(n.service), beside(fresh)).wantCode(403, "forbidden")
	n.do("GET", "/api/sessions/current/", "", token(fresh)).want(200)
	b := n.do("POST", "/api/sessions/create/", `{"user_id":"u1"}`, bearer(n.service), beside(fresh)).want(201)
	n.secret(b.text("token"))
	n.do("GET", "/api/sessions/current/", "", token(fresh)).wantCode(401, "session_invalid")
}

func TestCookiesHaveTheirAttributes(t *testing.T) {
	for _, insecure := range []bool{false, true} {
		n := newNode(t, func(c *Config) { c.InsecureCookies = insecure })
		prefix, secure := "__Host-", "; Secure"
		if insecure {
			prefix, secure = "", ""
		}
		a := n.do("POST", "/api/sessions/create/", "{}", bearer(n.jwt("u1", nil))).want(201)
		tok := n.secret(a.text("token"))
		index := a.header.Get("Holdfast-Index")
		want := []string{
			prefix + "holdfast=" + tok + "; Max-Age=86400; Path=/; HttpOnly" + secure + "; SameSite=Lax",
			prefix + "holdfast-index=" + index + "; Max-Age=60; Path=/; HttpOnly" + secure + "; SameSite=Lax",
		}
		if got := a.header["Set-Cookie"]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		cookie := "Cookie: x=y;" + prefix + "holdfast=" + tok + "; " + prefix + "holdfast-index=" + index
		n.do("GET", "/api/sessions/current/", "", cookie).want(200)
		if _, _, at := n.sessions.last(); at.AtLeast.String() != index {
			t.Errorf("the index cookie brought %s", at.AtLeast)
		}
		a = n.do("PATCH", "/api/sessions/current/", `{"a":1}`, cookie).want(200)
		if got := a.header["Set-Cookie"]; len(got) != 1 || !strings.HasPrefix(got[0], prefix+"holdfast-index="+a.header.Get("Holdfast-Index")+";") {
			t.Errorf("a write set %q", got)
		}
		a = n.do("DELETE", "/api/sessions/current/", "", cookie).want(204)
		want = []string{
			prefix + "holdfast=; Max-Age=0; Path=/; HttpOnly" + secure + "; SameSite=Lax",
			prefix + "holdfast-index=; Max-Age=0; Path=/; HttpOnly" + secure + "; SameSite=Lax",
		}
		if got := a.header["Set-Cookie"]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Error("the answer may be stored")
		}
	}
}

func TestCookiesAreReadStrictly(t *testing.T) {
	n := newNode(t, nil)
	tok, _ := n.login(`{"user_id":"u1"}`)
	n.do("GET", "/api/sessions/current/", "", "Cookie: __Host-holdfast="+tok+"; __Host-holdfast="+tok).wantCode(400, "invalid_request")
	n.do("GET", "/api/sessions/current/", "", asCookie(tok), asCookie(tok)).wantCode(400, "invalid_request")
	n.do("GET", "/api/sessions/current/", "", "Cookie: __host-holdfast="+tok).wantCode(401, "session_invalid")
	n.do("GET", "/api/sessions/current/", "", "Cookie: holdfast="+tok).wantCode(401, "session_invalid")
	n.do("GET", "/api/sessions/current/", "", "Cookie: x__Host-holdfast="+tok).wantCode(401, "session_invalid")
	n.do("GET", "/api/sessions/current/", "", "Cookie: "+strings.Repeat("a=b; ", 2000)+"__Host-holdfast="+tok).want(200)
	n.do("GET", "/api/sessions/current/", "", "Cookie: __Host-holdfast-index=rubbish; __Host-holdfast="+tok).wantCode(400, "invalid_request")
	// Authorization decides, but two cookies are refused all the same: something has planted one.
	n.do("GET", "/api/sessions/current/", "", token(tok), asCookie(tok), asCookie("x")).wantCode(400, "invalid_request")
	n.do("GET", "/api/sessions/", "", bearer(n.jwt("u1", nil)), asCookie(tok), asCookie("x")).wantCode(400, "invalid_request")
	n.do("GET", "/api/sessions/current/", "", token("hfs_x"), asCookie(tok)).wantCode(401, "session_invalid")
	// Beside a service key cookies are ignored, broken ones too.
	n.do("GET", "/api/sessions/current/", "", bearer(n.service), asCookie(tok)).wantCode(401, "session_invalid")
	n.do("GET", "/api/sessions/current/", "", bearer(n.service), beside(tok), asCookie("x"), asCookie("y"), "Cookie: __Host-holdfast-index=rubbish").want(200)
}

func TestCookieBorneWritesFromElsewhereAreRefused(t *testing.T) {
	n := newNode(t, func(c *Config) { c.TrustedOrigins = []string{"https://app.example.com"} })
	tok, _ := n.login(`{"user_id":"u1"}`)
	evil := []string{asCookie(tok), "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"}
	n.do("PATCH", "/api/sessions/current/", `{"a":1}`, evil...).wantCode(403, "cross_origin")
	n.do("DELETE", "/api/sessions/current/", "", evil...).wantCode(403, "cross_origin")
	n.do("POST", "/api/sessions/refresh/", "", evil...).wantCode(403, "cross_origin")
	n.do("POST", "/api/sessions/invalidate-all/", "", evil...).wantCode(403, "cross_origin")
	n.do("POST", "/api/sessions/create/", "{}", append(evil, bearer(n.jwt("u1", nil)))...).wantCode(403, "cross_origin")
	n.do("PATCH", "/api/sessions/current/", `{"a":1}`, asCookie(tok), "Origin: null").wantCode(403, "cross_origin")
	n.do("PATCH", "/api/sessions/current/", `{"a":1}`, asCookie(tok), "Origin: https://app.example.com", "Sec-Fetch-Site: same-site").want(200)
	n.do("PATCH", "/api/sessions/current/", `{"a":1}`, asCookie(tok), "Origin: http://"+n.addr).want(200)
	n.do("PATCH", "/api/sessions/current/", `{"a":1}`, asCookie(tok), "Sec-Fetch-Site: same-origin").want(200)
	n.do("GET", "/api/sessions/current/", "", evil...).want(200)
	n.do("PATCH", "/api/sessions/current/", `{"a":1}`, token(tok), "Origin: https://evil.example").want(200)
}

func TestWhatClaimsToSpeakForAUserNeedsAServiceKey(t *testing.T) {
	n := newNode(t, nil)
	tok, _ := n.login(`{"user_id":"u1"}`)
	for _, header := range []string{beside(tok), "Holdfast-Client-IP: 192.0.2.7", "Holdfast-Client-User-Agent: x"} {
		n.do("GET", "/api/sessions/current/", "", header).wantCode(400, "invalid_request")
		n.do("GET", "/api/sessions/current/", "", token(tok), header).wantCode(400, "invalid_request")
		n.do("GET", "/api/sessions/", "", bearer(n.jwt("u1", nil)), header).wantCode(400, "invalid_request")
		n.do("GET", "/api/sessions/current/", "", bearer("hfk_x"), header).wantCode(401, "key_invalid")
	}
	n.do("GET", "/api/sessions/current/", "", bearer(n.service), beside(tok), "Holdfast-Client-IP: 2001:db8::1", "Holdfast-Client-User-Agent: "+firefox).want(200)
	if client, _, _ := n.sessions.last(); client != (session.Client{IP: "2001:db8::1", UserAgent: firefox}) {
		t.Errorf("the client is %+v", client)
	}
	n.do("GET", "/api/sessions/current/", "", bearer(n.service), beside(tok), "User-Agent: node").want(200)
	if client, _, _ := n.sessions.last(); client != (session.Client{}) {
		t.Errorf("the backend became the client: %+v", client)
	}
	for _, address := range []string{"", "x", "192.0.2.1:80", "192.0.2.1, 192.0.2.2"} {
		n.do("GET", "/api/sessions/current/", "", bearer(n.service), beside(tok), "Holdfast-Client-IP: "+address).wantCode(400, "invalid_request")
	}
	n.do("GET", "/api/sessions/current/", "", bearer(n.service), beside(tok), beside(tok)).wantCode(400, "invalid_request")
}

func TestHoldfastSessionConfinesToItsUser(t *testing.T) {
	n := newNode(t, nil)
	tok, id := n.login(`{"user_id":"u1"}`)
	second, secondID := n.login(`{"user_id":"u1"}`)
	_, otherID := n.login(`{"user_id":"u2"}`)
	with := []string{bearer(n.service), beside(tok)}
	n.do("GET", "/api/sessions/by-id/"+id+"/", "", with...).want(200).wantMember("session.is_current", true)
	n.do("GET", "/api/sessions/by-id/"+secondID+"/", "", with...).want(200).wantMember("session.is_current", false)
	n.do("GET", "/api/sessions/by-id/"+otherID+"/", "", with...).wantCode(404, "not_found")
	n.do("DELETE", "/api/sessions/by-id/"+otherID+"/", "", with...).wantCode(404, "not_found")
	n.do("PATCH", "/api/sessions/by-id/"+otherID+"/", `{"label":"x"}`, with...).wantCode(404, "not_found")
	n.do("PATCH", "/api/sessions/by-id/"+secondID+"/", `{"a":1}`, with...).wantCode(400, "invalid_request")
	n.do("GET", "/api/sessions/?user_id=u2", "", with...).wantCode(403, "forbidden")
	n.do("GET", "/api/sessions/?tenant_id=t", "", with...).wantCode(403, "forbidden")
	n.do("GET", "/api/sessions/?user_id=u1", "", with...).want(200)
	n.do("PATCH", "/api/sessions/?user_id=u2", `{"a":1}`, with...).wantCode(403, "forbidden")
	n.do("PATCH", "/api/sessions/?user_id=u1", `{"a":1}`, with...).want(200).wantMember("updated", 2.0)
	n.do("POST", "/api/sessions/invalidate-all/", `{"user_id":"u2"}`, with...).wantCode(403, "forbidden")
	n.do("GET", "/api/stats/", "", with...).wantCode(403, "forbidden")
	n.do("PATCH", "/api/sessions/current/", `{"plan":"pro"}`, with...).want(200).wantMember("session.data.plan", "pro")
	n.do("PATCH", "/api/sessions/current/", `{"plan":null}`, token(tok)).wantCode(403, "protected_key")
	n.do("POST", "/api/sessions/invalidate-all/", `{"keep_current":true}`, with...).want(200).wantMember("revoked", 1.0)
	n.do("GET", "/api/sessions/current/", "", token(second)).wantCode(401, "session_invalid")
	n.do("GET", "/api/sessions/by-id/"+otherID+"/", "", bearer(n.service)).want(200).wantMember("session.is_current", false)
	n.do("PATCH", "/api/sessions/by-id/"+otherID+"/", `{"plan":"x"}`, bearer(n.service)).want(200).wantMember("session.data.plan", "x")
	n.do("DELETE", "/api/sessions/by-id/"+otherID+"/", "", bearer(n.service)).want(204)
	n.do("DELETE", "/api/sessions/by-id/"+otherID+"/", "", bearer(n.service)).wantCode(404, "not_found")
}

func TestLoginJWTsDoOnlyWhatTheyMay(t *testing.T) {
	n := newNode(t, nil)
	_, id := n.login(`{"user_id":"u1"}`)
	jwt := bearer(n.jwt("u1", nil))
	for _, call := range []string{
		"GET /api/sessions/current/", "PATCH /api/sessions/current/", "DELETE /api/sessions/current/", "POST /api/sessions/refresh/",
		"GET /api/sessions/by-id/" + id + "/", "PATCH /api/sessions/by-id/" + id + "/", "DELETE /api/sessions/by-id/" + id + "/",
		"GET /api/stats/", "PATCH /api/sessions/?user_id=u1", "GET /cluster/status", "POST /cluster/sweep",
	} {
		method, path, _ := strings.Cut(call, " ")
		body := ""
		if method == "PATCH" {
			body = `{"label":"x"}`
		}
		n.do(method, path, body, jwt).wantCode(403, "forbidden")
	}
	n.do("GET", "/api/sessions/", "", jwt).want(200)
	n.do("GET", "/api/sessions/?user_id=u2", "", jwt).wantCode(403, "forbidden")
	n.do("POST", "/api/sessions/invalidate-all/", `{"user_id":"u2"}`, jwt).wantCode(403, "forbidden")
	n.do("POST", "/api/sessions/invalidate-all/", `{"keep_current":true}`, jwt).wantCode(400, "invalid_request")
	n.do("POST", "/api/sessions/invalidate-all/", "", jwt).want(200).wantMember("revoked", 1.0)
	n.do("POST", "/api/sessions/invalidate-all/", "", jwt).wantCode(401, "login_invalid")
	n.do("GET", "/api/sessions/", "", jwt).wantCode(401, "login_invalid")
	n.do("POST", "/api/sessions/create/", "{}", jwt).wantCode(401, "login_invalid")
	n.sessions.pass(2 * time.Second)
	n.do("GET", "/api/sessions/", "", bearer(n.jwt("u1", nil))).want(200)
}

func TestWhoIsNobodyOrTooLittle(t *testing.T) {
	n := newNode(t, nil)
	tok, _ := n.login(`{"user_id":"u1"}`)
	for _, call := range []string{"GET /api/stats/", "PATCH /api/sessions/?user_id=u1"} {
		method, path, _ := strings.Cut(call, " ")
		n.do(method, path, "").wantCode(401, "key_invalid")
		n.do(method, path, "", token(tok)).wantCode(403, "forbidden")
	}
	for _, call := range []string{"GET /cluster/status", "POST /cluster/sweep"} {
		method, path, _ := strings.Cut(call, " ")
		n.do(method, path, "").wantCode(401, "key_invalid")
		n.do(method, path, "", token(tok)).wantCode(403, "forbidden")
		n.do(method, path, "", bearer(n.service)).wantCode(403, "forbidden")
		n.do(method, path, "", bearer(n.operator)).want(200)
	}
	n.do("GET", "/api/stats", "", bearer(n.operator)).want(200).wantMember("sessions", 1.0)
	n.do("GET", "/api/sessions/", "").wantCode(401, "session_invalid")
	n.do("POST", "/api/sessions/invalidate-all/", "").wantCode(401, "session_invalid")
	n.do("GET", "/api/sessions/", "", bearer(n.service)).wantCode(400, "invalid_request")
	n.do("GET", "/api/sessions/?user_id=a&tenant_id=b", "", bearer(n.service)).wantCode(400, "invalid_request")
	n.do("POST", "/api/sessions/invalidate-all/", "", bearer(n.service)).wantCode(400, "invalid_request")
	n.do("PATCH", "/api/sessions/", `{"a":1}`, bearer(n.service)).wantCode(400, "invalid_request")
}

func TestNamesThatCannotBeAreRefusedEverywhere(t *testing.T) {
	n := newNode(t, nil)
	for _, name := range []string{"a%00b", "a%0ab", "%ff", strings.Repeat("a", 257)} {
		n.do("GET", "/api/sessions/?user_id="+name, "", bearer(n.service)).wantCode(400, "invalid_request")
		n.do("GET", "/api/sessions/?tenant_id="+name, "", bearer(n.service)).wantCode(400, "invalid_request")
		n.do("PATCH", "/api/sessions/?user_id="+name, `{"a":1}`, bearer(n.service)).wantCode(400, "invalid_request")
	}
	for _, name := range []string{`a\u0000b`, `a\nb`, "\xff", `\ud800`, strings.Repeat("a", 257)} {
		n.do("POST", "/api/sessions/invalidate-all/", `{"user_id":"`+name+`"}`, bearer(n.service)).wantCode(400, "invalid_request")
		n.do("POST", "/api/sessions/create/", `{"user_id":"`+name+`"}`, bearer(n.service)).wantCode(400, "invalid_request")
	}
}

func TestTheAdminHandlerServesBothSlashForms(t *testing.T) {
	n := newNode(t, nil)
	for path, want := range map[string]int{
		"/livez": 200, "/livez/": 200, "/readyz/": 200, "/leaderz/": 200, "/metrics": 200, "/metrics/": 200, "/debug/pprof/cmdline": 200,
		"/api/stats/": 404, "/livez/x": 404,
	} {
		w := httptest.NewRecorder()
		n.server.AdminHandler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("%s: got %d", path, w.Code)
		}
	}
}

// Profiles show memory, and with it tokens: they are never where the public can ask.
func TestProfilesAreNotPublic(t *testing.T) {
	for _, config := range []func(*Config){nil, func(c *Config) { c.MetricsOnAdmin = true }} {
		n := newNode(t, config)
		for _, path := range []string{
			"/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine", "/debug/pprof/cmdline", "/debug/pprof/profile",
			"/debug/pprof/symbol", "/debug/pprof/trace", "//debug/pprof/heap", "/debug%2Fpprof/heap", "/livez/../debug/pprof/heap",
		} {
			if a := n.do("GET", path, "", bearer(n.operator)); a.status == 200 {
				t.Errorf("%s is public", path)
			}
		}
	}
}

func TestListsArePagedAndMarkTheCurrent(t *testing.T) {
	n := newNode(t, nil)
	var tok, id string
	for range 3 {
		tok, id = n.login(`{"user_id":"u1","tenant_id":"t1"}`)
		n.sessions.pass(time.Millisecond)
	}
	first := n.do("GET", "/api/sessions/?limit=2", "", token(tok)).want(200)
	if strings.Count(first.body, `"is_current":true`) != 1 || !strings.Contains(first.body, id) || strings.Count(first.body, `"id":`) != 2 {
		t.Errorf("the first page is %s", first.body)
	}
	second := n.do("GET", "/api/sessions/?limit=2&cursor="+first.text("next"), "", token(tok)).want(200)
	if strings.Count(second.body, `"id":`) != 1 || second.get("next") != nil {
		t.Errorf("the second page is %s", second.body)
	}
	if a := n.do("GET", "/api/sessions?tenant_id=t1", "", bearer(n.service)).want(200); strings.Count(a.body, `"id":`) != 3 || strings.Contains(a.body, `"is_current":true`) {
		t.Errorf("the tenant's list is %s", a.body)
	}
	for _, limit := range []string{"0", "-1", "201", "x", "", "1&limit=2"} {
		n.do("GET", "/api/sessions/?limit="+limit, "", token(tok)).wantCode(400, "invalid_request")
	}
	anonymous, anonymousID := n.login(`{}`)
	if a := n.do("GET", "/api/sessions/", "", token(anonymous)).want(200); strings.Count(a.body, `"id":`) != 1 || !strings.Contains(a.body, anonymousID) {
		t.Errorf("an anonymous list is %s", a.body)
	}
	if a := n.do("GET", "/api/sessions/?user_id=nobody", "", bearer(n.service)).want(200); a.body != `{"sessions":[]}`+"\n" {
		t.Errorf("an empty list is %s", a.body)
	}
}

func TestLogOutEverywhere(t *testing.T) {
	n := newNode(t, nil)
	one, _ := n.login(`{"user_id":"u1"}`)
	two, _ := n.login(`{"user_id":"u1"}`)
	n.do("POST", "/api/sessions/invalidate-all/?wait=some", "", token(one)).wantCode(400, "invalid_request")
	n.do("POST", "/api/sessions/invalidate-all/", `{"keep_current":true,"user_id":"u1"}`, token(one)).want(200).wantMember("revoked", 1.0)
	n.do("GET", "/api/sessions/current/", "", token(two)).wantCode(401, "session_invalid")
	a := n.do("POST", "/api/sessions/invalidate-all/", "", asCookie(one)).want(200).wantMember("revoked", 1.0)
	if got := a.header["Set-Cookie"]; len(got) != 2 || !strings.HasPrefix(got[0], "__Host-holdfast=; Max-Age=0;") {
		t.Errorf("the cookies are %q", got)
	}
	if a.get("index") != float64(n.sessions.Index().Index) || a.header.Get("Holdfast-Index") != n.sessions.Index().String() {
		t.Errorf("the index is %s, %s", a.body, a.header.Get("Holdfast-Index"))
	}
	n.login(`{"user_id":"u1"}`)
	n.do("POST", "/api/sessions/invalidate-all/", `{"user_id":"u1"}`, bearer(n.service)).want(200).wantMember("revoked", 1.0)
}

func TestLabels(t *testing.T) {
	n := newNode(t, nil)
	tok, id := n.login(`{"user_id":"u1"}`)
	path := "/api/sessions/by-id/" + id + "/"
	n.do("PATCH", path, `{"label":"my phone"}`, token(tok)).want(200).wantMember("session.device.label", "my phone").wantMember("session.version", 1.0)
	n.do("PATCH", path, `{"label":null}`, token(tok)).want(200).wantMember("session.device.label", nil)
	for _, body := range []string{`{}`, `{"label":1}`, `{"label":"a","data":{}}`, `{"label":"a\n"}`, `{"label":"` + strings.Repeat("a", 129) + `"}`, ""} {
		n.do("PATCH", path, body, token(tok)).wantCode(400, "invalid_request")
	}
}

func TestConditions(t *testing.T) {
	n := newNode(t, nil)
	tok, id := n.login(`{"user_id":"u1"}`)
	for _, path := range []string{"/api/sessions/current/", "/api/sessions/by-id/" + id} {
		for match, want := range map[string]int{
			`"1"`: 304, `W/"1"`: 304, `*`: 304, `"0", "1"`: 304, `"2"`: 200, `"01"`: 200, `"x"`: 200, `1`: 400, `"1`: 400, `"1" "2"`: 400, ``: 400,
		} {
			a := n.do("GET", path, "", token(tok), "If-None-Match: "+match)
			if a.status != want {
				t.Errorf("%s: If-None-Match: %s got %d", path, match, a.status)
			}
			if want == 304 && (a.header.Get("ETag") != `"1"` || a.header.Get("Holdfast-Expires-In") == "" || a.body != "") {
				t.Errorf("the 304 is %v %q", a.header, a.body)
			}
		}
	}
	for match, want := range map[string]int{
		`*`: 200, `"1"`: 200, `W/"1"`: 412, `"9"`: 412, `"0"`: 412, `"99999999999999999999"`: 412, `"x"`: 412, `1`: 400, `"1", "2"`: 400, ``: 400,
	} {
		fresh, _ := n.login(`{}`)
		a := n.do("PATCH", "/api/sessions/current/", `{"a":1}`, token(fresh), "If-Match: "+match)
		if a.status != want {
			t.Errorf("If-Match: %s got %d %s", match, a.status, a.body)
		}
		if want == 412 {
			a.wantCode(412, "version_conflict")
		}
	}
	n.do("PATCH", "/api/sessions/by-id/"+id, `{"a":1}`, bearer(n.service), `If-Match: "7"`).wantCode(412, "version_conflict")
	n.do("PATCH", "/api/sessions/by-id/"+id, `{"label":"x"}`, token(tok), `If-Match: "7"`).wantCode(412, "version_conflict")
	n.do("PATCH", "/api/sessions/by-id/"+id, `{"label":"x"}`, token(tok), `If-Match: 7`).wantCode(400, "invalid_request")
	n.do("PATCH", "/api/sessions/by-id/"+id, `{"label":"x"}`, token(tok), `If-Match: "1"`).want(200)
	n.do("PATCH", "/api/sessions/?user_id=u1", `{"a":1}`, bearer(n.service), `If-Match: "1"`).wantCode(400, "invalid_request")
	n.do("PATCH", "/api/sessions/current/", `{"a":1}`, token("hfs_x"), `If-Match: "7"`).wantCode(401, "session_invalid")
}

func TestIdempotencyKeys(t *testing.T) {
	n := newNode(t, nil)
	tok, _ := n.login(`{"user_id":"u1"}`)
	other, _ := n.login(`{"user_id":"u1"}`)
	patch := func(body, tok string, headers ...string) answer {
		return n.do("PATCH", "/api/sessions/current/", body, append(headers, token(tok), "Idempotency-Key: k1")...)
	}
	patch(`{"a":1}`, tok).want(200).wantMember("session.version", 2.0)
	patch(`{"a":1}`, tok).want(200).wantMember("session.version", 2.0)
	n.do("PATCH", "/api/sessions/current", `{"a":1}`, token(tok), "Idempotency-Key: k1").want(200)
	patch(`{"a":2}`, tok).wantCode(409, "idempotency_conflict")
	patch(`{"a":2}`, other).want(200)
	n.do("POST", "/api/sessions/refresh/", "", token(tok), "Idempotency-Key: k1").want(200)
	n.do("PATCH", "/api/sessions/current/?x=1", `{"a":3}`, token(tok), "Idempotency-Key: k1").want(200)
	n.do("PATCH", "/api/sessions/current/", `{"a":4}`, bearer(n.service), beside(tok), "Idempotency-Key: k1").want(200)
	for _, key := range []string{"", strings.Repeat("k", 256), "ü"} {
		n.do("PATCH", "/api/sessions/current/", `{"a":1}`, token(tok), "Idempotency-Key: "+key).wantCode(400, "invalid_request")
	}
	n.do("PATCH", "/api/sessions/current/", `{"a":1}`, token(tok), "Idempotency-Key: a", "Idempotency-Key: b").wantCode(400, "invalid_request")
	// A create may be repeated though its first try has ended the session that came along.
	jwt := bearer(n.jwt("u2", nil))
	first := n.do("POST", "/api/sessions/create/", "{}", jwt, asCookie(tok), "Idempotency-Key: c").want(201)
	n.secret(first.text("token"))
	second := n.do("POST", "/api/sessions/create/", "{}", jwt, "Idempotency-Key: c").want(201)
	if first.text("session.id") != second.text("session.id") {
		t.Error("the repeated create made a second session")
	}
	n.do("DELETE", "/api/sessions/current/", "", token(n.secret(second.text("token"))), "Idempotency-Key: d").want(204)
}

func TestConsistency(t *testing.T) {
	n := newNode(t, nil)
	tok, id := n.login(`{"user_id":"u1"}`)
	index := n.sessions.Index().String()
	for _, path := range []string{"/api/sessions/current/", "/api/sessions/by-id/" + id + "/"} {
		n.do("GET", path, "", token(tok), "Holdfast-Consistency: strong").want(200)
		if _, _, at := n.sessions.last(); !at.Strong {
			t.Errorf("%s is not strong by header", path)
		}
		n.do("GET", path+"?consistency=strong", "", token(tok), "Holdfast-Index: "+index).want(200)
		if _, _, at := n.sessions.last(); !at.Strong || at.AtLeast.String() != index {
			t.Errorf("%s is read at %+v", path, at)
		}
		n.do("GET", path+"?consistency=local", "", token(tok), "Holdfast-Consistency: local").want(200)
	}
	n.do("GET", "/api/sessions/?user_id=u1&consistency=strong", "", bearer(n.service)).want(200)
	if _, _, at := n.sessions.last(); !at.Strong {
		t.Error("the list is not strong")
	}
	for _, bad := range []string{"Strong", "weak", ""} {
		n.do("GET", "/api/sessions/current/", "", token(tok), "Holdfast-Consistency: "+bad).wantCode(400, "invalid_request")
	}
	n.do("GET", "/api/sessions/current/?consistency=local", "", token(tok), "Holdfast-Consistency: strong").wantCode(400, "invalid_request")
	n.do("GET", "/api/sessions/current/?consistency=strong&consistency=strong", "", token(tok)).wantCode(400, "invalid_request")
	n.do("GET", "/api/sessions/current/?consistency=%zz", "", token(tok)).wantCode(400, "invalid_request")
	for _, bad := range []string{"", "1", "-1", "1122334455667788.-1", "1122334455667788.99999999999999999999", "112233445566778Z.1", "1122334455667788.1.", "1122334455667788.01"} {
		n.do("GET", "/api/sessions/current/", "", token(tok), "Holdfast-Index: "+bad).wantCode(400, "invalid_request")
		n.do("PATCH", "/api/sessions/current/", `{}`, token(tok), "Holdfast-Index: "+bad).wantCode(400, "invalid_request")
	}
	a := n.do("GET", "/api/sessions/current/", "", "Cookie: __Host-holdfast="+tok+"; __Host-holdfast-index=x").wantCode(400, "invalid_request")
	if got := a.header["Set-Cookie"]; len(got) != 1 || !strings.HasPrefix(got[0], "__Host-holdfast-index=; Max-Age=0") {
		t.Errorf("the broken cookie is not cleared: %q", got)
	}
	// Of a header and a cookie of one cluster the later counts.
	n.do("GET", "/api/sessions/current/", "", "Cookie: __Host-holdfast="+tok+"; __Host-holdfast-index=1122334455667788.9", "Holdfast-Index: 1122334455667788.5").want(200)
	if _, _, at := n.sessions.last(); at.AtLeast.Index != 9 {
		t.Errorf("read at %+v", at)
	}
	n.do("GET", "/api/sessions/current/", "", "Cookie: __Host-holdfast="+tok+"; __Host-holdfast-index=2222334455667788.9", "Holdfast-Index: 1122334455667788.5").want(200)
	if _, _, at := n.sessions.last(); at.AtLeast.Index != 5 {
		t.Errorf("read at %+v", at)
	}
}

func TestTouch(t *testing.T) {
	n := newNode(t, nil)
	tok, _ := n.login(`{"user_id":"u1"}`)
	n.do("GET", "/api/sessions/current/", "", token(tok)).want(200)
	if _, touched, _ := n.sessions.last(); !touched {
		t.Error("a read does not touch")
	}
	n.do("GET", "/api/sessions/current/", "", token(tok), "Holdfast-Touch: no").want(200)
	if _, touched, _ := n.sessions.last(); touched {
		t.Error("a read touches against the header")
	}
	n.do("GET", "/api/sessions/current/", "", token(tok), "Holdfast-Touch: maybe").wantCode(400, "invalid_request")
}

func TestARefreshRotatesWhenItIsAskedTo(t *testing.T) {
	n := newNode(t, nil)
	old, id := n.login(`{"user_id":"u1"}`)
	young := n.do("POST", "/api/sessions/refresh/", `{"rotate":true}`, token(old)).want(200)
	if young.get("token") != nil || len(young.header["Set-Cookie"]) != 1 {
		t.Errorf("a young token was rotated: %s, %q", young.body, young.header["Set-Cookie"])
	}
	n.sessions.pass(session.RotationGrace)
	a := n.do("POST", "/api/sessions/refresh/", `{"rotate":true}`, asCookie(old)).want(200).wantMember("session.id", id)
	rotated := n.secret(a.text("token"))
	if rotated == old || !strings.HasPrefix(rotated, "hfs_"+id+".") {
		t.Fatalf("the new token is %q", a.body)
	}
	// The cookie lives as long as the session may, which is less than a day by now.
	if want := fmt.Sprintf("__Host-holdfast=%s; Max-Age=%d; Path=/; HttpOnly; Secure; SameSite=Lax", rotated, 24*60*60-31); a.header["Set-Cookie"][0] != want {
		t.Errorf("the cookie is %q, want %q", a.header["Set-Cookie"][0], want)
	}
	n.do("GET", "/api/sessions/current/", "", token(rotated)).want(200)
	n.sessions.pass(session.RotationGrace)
	beside := n.do("POST", "/api/sessions/refresh/", `{"rotate":true}`, bearer(n.service), beside(rotated)).want(200)
	n.secret(beside.text("token"))
	n.do("POST", "/api/sessions/refresh/", `{"rotate":false}`, token(beside.text("token"))).want(200)
	n.do("POST", "/api/sessions/refresh/", `{"rotate":1}`, token(beside.text("token"))).wantCode(400, "invalid_request")
	n.do("POST", "/api/sessions/refresh/", `{"other":1}`, token(beside.text("token"))).wantCode(400, "invalid_request")
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	n := newNode(t, nil)
	tok, _ := n.login(`{"user_id":"u1"}`)
	get, head := n.do("GET", "/api/sessions/current/", "", token(tok)).want(200), n.do("HEAD", "/api/sessions/current", "", token(tok)).want(200)
	if head.body != "" || head.header.Get("ETag") != get.header.Get("ETag") || head.header.Get("Content-Length") != get.header.Get("Content-Length") {
		t.Errorf("HEAD answered %v, GET %v", head.header, get.header)
	}
	n.do("HEAD", "/api/sessions/current", "", token("x")).want(401)
}

func TestEveryAnswerHasItsHeaders(t *testing.T) {
	n := newNode(t, nil)
	id := regexp.MustCompile(`^[0-9a-f]{24}$`)
	seen := make(map[string]bool)
	for _, call := range []string{"GET /livez", "GET /nothing", "PUT /livez", "GET /api/sessions/current", "GET /errors/internal", "GET /openapi.json", "GET /metrics", "GET /leaderz", "OPTIONS /livez"} {
		method, path, _ := strings.Cut(call, " ")
		a := n.do(method, path, "", "Holdfast-Request-ID: forged", "X-Request-ID: forged")
		request := a.header.Get("Holdfast-Request-ID")
		if !id.MatchString(request) || seen[request] || a.header.Get("Holdfast-Node") != "n1" || a.header.Get("Holdfast-Index") == "" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", call, a.header)
		}
		seen[request] = true
		if a.status >= 400 && a.status != 401 && a.status != 429 && a.text("request_id") != request {
			t.Errorf("%s: the body says %s", call, a.body)
		}
	}
}

func TestPathsAndMethods(t *testing.T) {
	n := newNode(t, nil)
	for _, path := range []string{"/", "//", "/api", "/api//sessions/current/", "/api/sessions/current//", "/api/sessions/../sessions/current/", "/api/sessions/%63urrent/", "/api/sessions%2Fcurrent/", "/API/sessions/current/", "/api/sessions/current/x", "/livez/x"} {
		n.do("GET", path, "").wantCode(404, "not_found")
	}
	for call, allow := range map[string]string{
		"POST /api/sessions/current/": "DELETE, GET, HEAD, PATCH", "GET /api/sessions/create": "POST", "TRACE /livez": "GET, HEAD", "PUT /leaderz": "GET, HEAD", "DELETE /openapi.json/": "GET, HEAD", "POST /errors/internal": "GET, HEAD",
		"OPTIONS /api/sessions/": "GET, HEAD, PATCH", "MADEUP /cluster/sweep/": "POST",
	} {
		method, path, _ := strings.Cut(call, " ")
		a := n.do(method, path, "").wantCode(405, "method_not_allowed")
		if a.header.Get("Allow") != allow {
			t.Errorf("%s: Allow: %s", call, a.header.Get("Allow"))
		}
	}
}

func TestNodeTroubleIsNeverA401(t *testing.T) {
	n := newNode(t, nil)
	tok, _ := n.login(`{"user_id":"u1"}`)
	for err, want := range map[*session.Error]int{
		session.ErrNoLeader: 503, session.ErrStaleNode: 503, session.ErrDraining: 503, session.ErrOverloaded: 503,
		session.ErrOutcomeUnknown: 503, session.ErrDiskLow: 507, session.ErrInternal: 500,
	} {
		n.sessions.failWith(fmt.Errorf("get: %w", err))
		for _, method := range []string{"GET", "DELETE", "PATCH"} {
			body := ""
			if method == "PATCH" {
				body = "{}"
			}
			a := n.do(method, "/api/sessions/current/", body, token(tok)).wantCode(want, string(err.Code))
			if (a.header.Get("Retry-After") == "") != (want == 500) {
				t.Errorf("%s: Retry-After %q", err.Code, a.header.Get("Retry-After"))
			}
		}
	}
	n.sessions.failWith(fmt.Errorf("the disk of %s is on fire", "node 7"))
	a := n.do("GET", "/api/sessions/current/", "", token(tok)).wantCode(500, "internal")
	if strings.Contains(a.body, "fire") || !strings.Contains(n.log.String(), "the disk of node 7 is on fire") || !strings.Contains(n.log.String(), a.text("request_id")) {
		t.Errorf("answered %s, logged %s", a.body, n.log.String())
	}
}

func TestHealthPages(t *testing.T) {
	n := newNode(t, nil)
	n.do("GET", "/livez", "").want(200)
	n.do("GET", "/leaderz", "").want(200)
	n.cluster.leader = false
	if a := n.do("GET", "/leaderz", "").wantCode(429, "not_leader").wantMember("leader", false); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	n.do("GET", "/readyz", "").want(200)
	if a := n.do("GET", "/readyz?verbose", "").want(200); !strings.Contains(a.body, `{"name":"fresh","ok":true}`) {
		t.Errorf("verbose: %s", a.body)
	}
	n.do("GET", "/readyz?draincode=404", "").want(200)
	n.do("GET", "/readyz?draincode=200", "").wantCode(400, "invalid_request")
	n.cluster.checks = []Check{{Name: "disk", OK: true}, {Name: "fresh", Detail: "last proof 7 s ago"}}
	n.do("GET", "/readyz?draincode=404", "").wantCode(503, "stale_node")
	if a := n.do("GET", "/readyz?verbose=1", "").wantCode(503, "stale_node"); !strings.Contains(a.body, `"checks":[`) || !strings.Contains(a.text("detail"), "fresh: last proof 7 s ago") {
		t.Errorf("verbose: %s", a.body)
	}
	n.cluster.checks = []Check{{Name: "fresh", OK: true}, {Name: CheckDisk, Detail: "nearly full"}}
	n.do("GET", "/readyz", "").wantCode(503, "disk_low")
	n.cluster.checks = []Check{{Name: "fresh", OK: true}, {Name: "draining", Detail: "the node leaves"}}
	if a := n.do("GET", "/readyz?draincode=404&verbose", "").wantCode(404, "draining"); strings.Count(a.body, `"name":"draining"`) != 1 {
		t.Errorf("verbose: %s", a.body)
	}
	n.cluster.checks = nil
	n.server.Drain()
	if a := n.do("GET", "/readyz", "").wantCode(503, "draining"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	n.do("GET", "/readyz?draincode=404", "").wantCode(404, "draining")
	n.do("GET", "/livez", "").want(200)
}

func TestErrorPagesAndDocument(t *testing.T) {
	n := newNode(t, nil)
	for code, look := range failures {
		a := n.do("GET", "/errors/"+string(code), "").want(200)
		if !strings.Contains(a.body, look.title) || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %s", code, a.body)
		}
	}
	n.do("GET", "/errors/%3Cscript%3E", "").wantCode(404, "not_found")
	n.do("GET", "/openapi.json", "").want(200).wantMember("openapi", "3.1.0")
}

func TestMetricsCountByRoute(t *testing.T) {
	n := newNode(t, nil)
	for range 3 {
		n.do("GET", "/api/sessions/current/", "")
	}
	n.do("MADEUP", "/secret-path", "")
	n.raw("GET /livez HTTP/1.1\nHost: x\r\n\r\n")
	a := n.do("GET", "/metrics", "").want(200)
	for limit := time.Now().Add(20 * time.Second); !strings.Contains(a.body, "holdfast_http_connections 1\n") && time.Now().Before(limit); {
		a = n.do("GET", "/metrics", "").want(200) // the server takes a moment to see that the raw connection has ended
	}
	for _, line := range []string{
		`holdfast_http_requests_total{code="401",method="GET",route="/api/sessions/current/"} 3`,
		`holdfast_http_requests_total{code="404",method="other",route="unknown"} 1`,
		`holdfast_http_requests_total{code="400",method="other",route="unknown"} 1`,
		`holdfast_http_request_duration_seconds_count{method="GET",route="/api/sessions/current/"} 3`,
		`holdfast_http_requests_in_flight 1`, `holdfast_http_connections 1`,
		`holdfast_http_problems_total{problem="session_invalid"} 3`, `holdfast_http_problems_total{problem="no_leader"} 0`,
		`holdfast_http_rate_limited_total{limit="bad_tokens"} 0`, `holdfast_ready 1`, `holdfast_ready_check{check="draining"} 1`,
	} {
		if !strings.Contains(a.body, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(a.body, "secret-path") || strings.Contains(a.body, "MADEUP") {
		t.Error("a caller made a series")
	}
	limited := newNode(t, func(c *Config) { c.RatePerAddress, c.RateBurst = 0.001, 2 })
	for range 4 {
		limited.do("GET", "/api/sessions/current/", "")
	}
	if a := limited.do("GET", "/metrics", ""); !strings.Contains(a.body, `holdfast_http_rate_limited_total{limit="requests"} 2`+"\n") {
		t.Errorf("refusals are not counted: %s", a.body)
	}
	moved := newNode(t, func(c *Config) { c.MetricsOnAdmin = true })
	moved.do("GET", "/metrics", "").wantCode(404, "not_found")
}

func TestAddressesAreLimitedServiceKeysAreNot(t *testing.T) {
	n := newNode(t, func(c *Config) { c.RatePerAddress, c.RateBurst = 0.001, 2 })
	for range 5 {
		n.do("GET", "/api/stats/", "", bearer(n.service)).want(200)
	}
	n.do("GET", "/api/sessions/current/", "").wantCode(401, "session_invalid")
	n.do("GET", "/api/sessions/current/", "").wantCode(401, "session_invalid")
	a := n.do("GET", "/api/sessions/current/", "").wantCode(429, "rate_limited")
	if a.header.Get("Retry-After") == "" || a.header.Get("Retry-After") == "0" {
		t.Errorf("Retry-After: %s", a.header.Get("Retry-After"))
	}
	n.do("GET", "/readyz", "").want(200)
}

func TestGuessesAreLimitedByAddressToo(t *testing.T) {
	for name, headers := range map[string][]string{
		"keys":        {bearer("hfk_" + strings.Repeat("A", 43))},
		"JWTs":        {bearer("a.b.c")},
		"two of them": {bearer("a.b.c"), bearer("a.b.c")},
		"two cookies": {asCookie("a"), asCookie("b")},
	} {
		n := newNode(t, func(c *Config) { c.RatePerAddress, c.RateBurst = 0.001, 2 })
		for range 2 {
			if a := n.do("GET", "/api/sessions/", "", headers...); a.status != 401 && a.status != 400 {
				t.Errorf("%s: got %d %s", name, a.status, a.body)
			}
		}
		n.do("GET", "/api/sessions/", "", headers...).wantCode(429, "rate_limited")
		n.do("GET", "/api/stats/", "", bearer(n.service)).want(200)
	}
}

func TestAPanicIsAnInternalErrorAndTheNodeGoesOn(t *testing.T) {
	n := newNode(t, nil)
	n.sessions.failWith(panicking{})
	n.do("GET", "/api/sessions/current/", "", token(must(session.Mint(zeros{}, 1)).Reveal())).wantCode(500, "internal")
	if !strings.Contains(n.log.String(), "goroutine") {
		t.Error("the stack is not logged")
	}
	n.do("GET", "/livez", "").want(http.StatusOK)
}

// panicking is an error that panics when it is looked at.
type panicking struct{}

func (panicking) Error() string { return "never" }
func (panicking) Is(error) bool { panic("looked at") }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
