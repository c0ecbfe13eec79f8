package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// dial connects to the node, and speaks HTTP/1 through TLS if the node does.
func (n *node) dial() net.Conn {
	if n.server.cfg.TLS == nil {
		return must(net.Dial("tcp", n.addr))
	}
	return must(tls.Dial("tcp", n.addr, &tls.Config{InsecureSkipVerify: true}))
}

func overTLS(t *testing.T) func(*Config) {
	certificate := selfSigned(t)
	return func(c *Config) { c.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}} }
}

// raw sends bytes and reads the answers until the connection ends or nothing more comes.
func (n *node) raw(chunks ...string) []answer {
	n.t.Helper()
	connection := n.dial()
	defer connection.Close()
	for _, chunk := range chunks {
		if _, err := io.WriteString(connection, chunk); err != nil {
			break // the server may have hung up already
		}
	}
	return readAnswers(n.t, connection)
}

// slowly sends bytes with a pause before each chunk but the first, in which no answer may come, and reads the answers.
func (n *node) slowly(pause time.Duration, chunks ...string) []answer {
	n.t.Helper()
	connection := must(net.Dial("tcp", n.addr))
	defer connection.Close()
	for i, chunk := range chunks {
		if i > 0 {
			_ = connection.SetReadDeadline(time.Now().Add(pause))
			if _, err := connection.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				n.t.Errorf("after %d chunks: %v", i, err)
			}
		}
		must(io.WriteString(connection, chunk))
	}
	return readAnswers(n.t, connection)
}

func readAnswers(t *testing.T, connection net.Conn) []answer {
	t.Helper()
	_ = connection.SetReadDeadline(time.Now().Add(2 * time.Second))
	reader := bufio.NewReader(connection)
	var answers []answer
	for {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return answers
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatalf("the body of an answer: %v", err)
		}
		if response.StatusCode >= 400 { // whatever the request was, if it was one at all
			if fault := checkAnswer(must(http.NewRequest("GET", "http://any/livez", nil)), response, body); fault != nil {
				t.Errorf("an answer is against the contract: %v\n%s", fault, body)
			}
		}
		answers = append(answers, answer{t, response.StatusCode, response.Header, string(body), response.Close})
		if response.Close {
			if _, err := reader.ReadByte(); err == nil {
				t.Error("bytes follow the last answer")
			}
			return answers
		}
	}
}

const closing = "Connection: close\r\n"

func TestHeadsThatTwoParsersMayReadDifferentlyAreRefused(t *testing.T) {
	t.Run("plain", func(t *testing.T) { refuseAmbiguousHeads(t, newNode(t, nil)) })
	t.Run("TLS", func(t *testing.T) { refuseAmbiguousHeads(t, newNode(t, overTLS(t))) })
}

func refuseAmbiguousHeads(t *testing.T, n *node) {
	smuggled := "GET /livez HTTP/1.1\r\nHost: x\r\nX: smuggled\r\n\r\n"
	for name, request := range map[string]string{
		"both lengths":                    "POST /api/sessions/create/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"both lengths, turned":            "POST /api/sessions/create/ HTTP/1.1\r\nHost: x\r\ntransfer-ENCODING: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n" + smuggled,
		"two lengths":                     "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
		"a list of lengths":               "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4, 4\r\n\r\nabcd",
		"a signed length":                 "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\nabcd",
		"a huge length":                   "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nabcd",
		"bare LF in the first line":       "GET /livez HTTP/1.1\nHost: x\r\n\r\n",
		"bare LF in a header":             "GET /livez HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
		"bare LF at the end":              "GET /livez HTTP/1.1\r\nHost: x\r\n\n",
		"bare CR":                         "GET /livez HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
		"a folded header":                 "GET /livez HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
		"a folded header by tab":          "GET /livez HTTP/1.1\r\nHost: x\r\nX: a\r\n\tb\r\n\r\n",
		"a space before the colon":        "GET /livez HTTP/1.1\r\nHost: x\r\nX : a\r\n\r\n",
		"a space before the first header": "GET /livez HTTP/1.1\r\n Host: x\r\n\r\n",
		"NUL in a value":                  "GET /livez HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
		"NUL in a name":                   "GET /livez HTTP/1.1\r\nHost: x\r\nX\x00: a\r\n\r\n",
		"no colon":                        "GET /livez HTTP/1.1\r\nHost: x\r\nrubbish\r\n\r\n",
		"no host":                         "GET /livez HTTP/1.1\r\n\r\n",
		"two hosts":                       "GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"a host that is none":             "GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n",
		"another transfer coding":         "POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
		"two transfer codings":            "POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"a coding in HTTP/1.0":            "POST /livez HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"another protocol":                "GET /livez SPDY/3\r\nHost: x\r\n\r\n",
		"HTTP/3.0":                        "GET /livez HTTP/3.0\r\nHost: x\r\n\r\n",
		"a strange expectation":           "POST /livez HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\na",
		"rubbish":                         "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 rubbish\r\n\r\n",
		"a first line without end":        "GET /" + strings.Repeat("a", 20) + " \r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			answers := n.raw(request)
			if len(answers) != 1 {
				t.Fatalf("%d answers", len(answers))
			}
			a := answers[0]
			a.t = t
			a.wantCode(400, "invalid_request")
			if a.header.Get("Holdfast-Request-Id") != a.text("request_id") || a.header.Get("Holdfast-Node") != "n1" || !a.closes {
				t.Errorf("the headers are %v", a.header)
			}
			// The same bytes one by one are refused as well.
			one := n.raw(strings.Split(request[:min(len(request), 120)], "")...)
			if len(request) <= 120 && (len(one) != 1 || one[0].status != 400) {
				t.Errorf("byte by byte: %+v", one)
			}
		})
	}
}

func TestARefusalWaitsForTheAnswersBeforeIt(t *testing.T) {
	n := newNode(t, nil)
	good := "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
	body := "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n\n a:b\nX\n 12 "
	for _, chunks := range [][]string{
		{good + body + good + "GET /livez HTTP/1.1\nHost: x\r\n\r\n" + good},
		{good, body, good, "GET /livez HTTP/1.1\nHost: x\r\n\r\n", good},
		{good + body[:50], body[50:] + good[:3], good[3:] + "GET /live", "z HTTP/1.1\n"},
	} {
		var got []int
		for _, a := range n.raw(chunks...) {
			got = append(got, a.status)
		}
		if fmt.Sprint(got) != "[200 405 200 400]" {
			t.Errorf("%q: got %v", chunks, got)
		}
	}
}

func TestAChunkedRequestIsServedAndItsConnectionEnds(t *testing.T) {
	n := newNode(t, nil)
	body := `{"user_id":"u1"}`
	answers := n.raw("POST /api/sessions/create/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + n.service +
		"\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) +
		"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	if len(answers) != 1 || answers[0].status != 201 || !answers[0].closes {
		t.Fatalf("got %+v", answers)
	}
	n.secret(answers[0].text("token"))
}

func TestABodyIsNeverTakenForARefusalOfNetHTTPs(t *testing.T) {
	n := newNode(t, nil)
	// However the answer is cut into writes, one of them begins with what net/http answers to a strange expectation.
	const refusal = "HTTP/1.1 417 Expectation Failed "
	for shift := range len(refusal) {
		text := strings.Repeat("x", shift) + strings.Repeat(refusal, 1000)
		tok, _ := n.login(`{"data":{"a":"` + text + `"}}`)
		if a := n.do("GET", "/api/sessions/current/", "", token(tok)).want(200); a.text("session.data.a") != text {
			t.Fatalf("with %d bytes before it the answer was cut", shift)
		}
	}
}

func TestHeadsHaveALimit(t *testing.T) {
	n := newNode(t, nil)
	fits := "GET /livez HTTP/1.1\r\nHost: x\r\n" + closing + "X: "
	fits += strings.Repeat("a", MaxHeaderBytes-len(fits)-4) + "\r\n\r\n"
	if a := n.raw(fits); len(a) != 1 || a[0].status != 200 {
		t.Fatalf("a head of %d bytes: %+v", len(fits), a)
	}
	for name, request := range map[string]string{
		"one byte more": strings.Replace(fits, "X: ", "X: a", 1),
		"many headers":  "GET /livez HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 5000) + "\r\n",
		"a long target": "GET /" + strings.Repeat("a", 20<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"a long cookie": "GET /livez HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("a=b; ", 200<<10) + "\r\n\r\n",
	} {
		a := n.raw(request)
		if len(a) != 1 {
			t.Fatalf("%s: %d answers", name, len(a))
		}
		a[0].wantCode(431, "headers_too_large")
	}
}

func TestAbsoluteTargetsOfOtherHostsAreMisdirected(t *testing.T) {
	n := newNode(t, func(c *Config) { c.Hosts = []string{"Sessions.example.com", "other.example.com:8443"} })
	_, port, _ := net.SplitHostPort(n.addr)
	for target, want := range map[string]int{
		"/livez":                                   200,
		"http://" + n.addr + "/livez":              200,
		"http://localhost:" + port + "/livez":      200,
		"http://sessions.EXAMPLE.com/livez":        200,
		"http://sessions.example.com:123/livez":    200,
		"http://other.example.com:8443/livez":      200,
		"http://other.example.com/livez":           421,
		"http://evil.example/livez":                421,
		"http://evil.example@" + n.addr + "/livez": 200, // the user part names no host
		"http://127.0.0.1:1/livez":                 421,
		"http://localhost/livez":                   421,
		"https://evil.example/":                    421,
	} {
		a := n.raw("GET " + target + " HTTP/1.1\r\nHost: " + n.addr + "\r\n" + closing + "\r\n")
		if len(a) != 1 || a[0].status != want {
			t.Errorf("%s: got %+v", target, a)
		}
		if want == 421 {
			a[0].wantCode(421, "misdirected_request")
		}
	}
	for request, want := range map[string]int{"OPTIONS * HTTP/1.1": 404, "CONNECT evil.example:80 HTTP/1.1": 421, "PRI * HTTP/2.0": 404} {
		if a := n.raw(request + "\r\nHost: x\r\n" + closing + "\r\n"); len(a) != 1 || a[0].status != want {
			t.Errorf("%s: got %+v", request, a)
		}
	}
}

func TestBodiesAreReadStrictly(t *testing.T) {
	n := newNode(t, nil)
	tok, _ := n.login(`{"user_id":"u1"}`)
	for _, c := range []struct {
		name, body, contentType string
		status                  int
		code                    string
	}{
		{"no type", `{"a":1}`, "", 415, "unsupported_media_type"},
		{"a form", `a=1`, "application/x-www-form-urlencoded", 415, "unsupported_media_type"},
		{"text", `{"a":1}`, "text/plain", 415, "unsupported_media_type"},
		{"another charset", `{"a":1}`, "application/json; charset=latin1", 415, "unsupported_media_type"},
		{"another parameter", `{"a":1}`, "application/json; q=1", 415, "unsupported_media_type"},
		{"a broken type", `{"a":1}`, "application/json; charset", 415, "unsupported_media_type"},
		{"utf-8", `{"a":1}`, `Application/JSON; charset="UTF-8"`, 200, ""},
		{"merge patch", `{"a":2}`, "application/merge-patch+json", 200, ""},
		{"an array", `[1]`, "application/json", 400, "invalid_request"},
		{"a number", `1`, "application/json", 400, "invalid_request"},
		{"a JSON patch", `[{"op":"add","path":"/a","value":1}]`, "application/json", 400, "invalid_request"},
		{"null", `null`, "application/json", 400, "invalid_request"},
		{"nothing", ``, "application/json", 400, "invalid_request"},
		{"cut", `{"a":`, "application/json", 400, "invalid_request"},
		{"two names", `{"a":1,"a":2}`, "application/json", 400, "invalid_request"},
		{"two names, one escaped", `{"a":1,"\u0061":2}`, "application/json", 400, "invalid_request"},
		{"two names deeper", `{"x":{"a":1,"a":2}}`, "application/json", 400, "invalid_request"},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", "application/json", 400, "invalid_request"},
		{"half a surrogate", `{"a":"\ud800"}`, "application/json", 400, "invalid_request"},
		{"trailing bytes", `{"a":1}x`, "application/json", 400, "invalid_request"},
		{"two objects", `{"a":1}{"b":1}`, "application/json", 400, "invalid_request"},
		{"deep", strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000), "application/json", 400, "invalid_request"},
		{"NaN", `{"a":NaN}`, "application/json", 400, "invalid_request"},
		{"a byte order mark", "\ufeff{}", "application/json", 400, "invalid_request"},
		{"large data", `{"a":"` + strings.Repeat("x", 65<<10) + `"}`, "application/json", 413, "payload_too_large"},
		{"a large body", `{"a":"` + strings.Repeat("x", 200<<10) + `"}`, "application/json", 413, "payload_too_large"},
		{"a large number", `{"a":123456789012345678901234567890.5e10}`, "application/json", 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := n.do("PATCH", "/api/sessions/current/", c.body, token(tok), "Content-Type: "+c.contentType)
			a.t = t
			if c.code == "" {
				a.want(c.status)
			} else {
				a.wantCode(c.status, c.code)
			}
		})
	}
	for _, body := range []string{
		`{"unknown":1}`, `{"user_id":1}`, `{"user_id":"a","user_id":"b"}`, `{"user_id":"a","user\u005fid":"b"}`, `{"data":[]}`, `{"data":"x"}`,
		`{"idle_timeout":60}`, `{"idle_timeout":"1"}`, `{"idle_timeout":"-1h"}`, `{"idle_timeout":"0s"}`, `{"idle_timeout":"1ms"}`, `{"absolute_timeout":"99999h"}`,
		`{"auth":1}`, `{"auth":{"x":1}}`, `{"auth":{"time":"yesterday"}}`, `{"auth":{"issuer":"a","issuer":"b"}}`, `{"carry":"x"}`, `{"carry":[1]}`,
		`{"user_id":"\ud800"}`, `{"user_id":"\udc00\ud800"}`, "{\"user_id\":\"\xff\"}", `{"user_id":"a\u0000"}`, `{"user_id":"` + strings.Repeat("u", 257) + `"}`,
		`{"user_id":"a"} {}`, `{"user_id":"a"`, `[]`, `"x"`, `{"token":"` + tok + `"}`, strings.Repeat("[", 20000), `{"user_id":"a",}`,
	} {
		a := n.do("POST", "/api/sessions/create/", body, bearer(n.service))
		a.wantCode(400, "invalid_request")
		if len(a.text("detail")) < 10 {
			t.Errorf("%s: the detail does not help: %s", body, a.body)
		}
	}
	if a := n.do("POST", "/api/sessions/create/", `{"`+strings.Repeat("x", 100<<10)+`":1}`, bearer(n.service)).wantCode(400, "invalid_request"); len(a.body) > 1000 {
		t.Errorf("the answer grew to %d bytes", len(a.body))
	}
	n.do("PATCH", "/api/sessions/current/", `{"a":1}`, token(tok), "Content-Encoding: gzip").wantCode(415, "unsupported_media_type")
	n.do("GET", "/api/sessions/current/?token="+tok, "").wantCode(401, "session_invalid")
	n.do("GET", "/api/sessions/"+tok+"/", "").wantCode(404, "not_found")
	n.do("DELETE", "/api/sessions/by-id/"+tok+"/", "", token(tok)).wantCode(404, "not_found")
}

func TestALargeBodyIsRefusedBeforeItIsSent(t *testing.T) {
	n := newNode(t, nil)
	head := "POST /api/sessions/create/ HTTP/1.1\r\nHost: x\r\n" + bearer(n.service) + "\r\nContent-Type: application/json\r\n"
	for name, request := range map[string]string{
		"by its length": head + "Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n",
		"by its chunks": head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("10000\r\n"+strings.Repeat(" ", 0x10000)+"\r\n", 3) + "0\r\n\r\n",
	} {
		a := n.raw(request)
		if len(a) != 1 || !a[0].closes {
			t.Fatalf("%s: got %+v", name, a)
		}
		a[0].wantCode(413, "payload_too_large")
	}
	// A body of just the limit is read, and refused for what is in it.
	n.do("POST", "/api/sessions/create/", strings.Repeat(" ", MaxBodyBytes), bearer(n.service)).wantCode(400, "invalid_request")
	n.do("POST", "/api/sessions/create/", strings.Repeat(" ", MaxBodyBytes+1), bearer(n.service)).wantCode(413, "payload_too_large")
}

func TestABodyThatStallsOrEndsEarly(t *testing.T) {
	n := newNode(t, func(c *Config) { c.ReadTimeout, c.HeaderTimeout = 200*time.Millisecond, 200*time.Millisecond })
	head := "POST /api/sessions/create/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + n.service + "\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n"
	answers := n.raw(head + `{"user`)
	if len(answers) != 1 {
		t.Fatalf("%d answers", len(answers))
	}
	answers[0].wantCode(400, "invalid_request")
	before := n.sessions.Index()
	late := newNode(t, func(c *Config) { c.RequestTimeout = 50 * time.Millisecond })
	answers = late.slowly(100*time.Millisecond, strings.Replace(head, n.service, late.service, 1)+`{"user`, `_id":"a"}     `)
	if len(answers) != 1 || late.sessions.Index() != before {
		t.Fatalf("a body that came after the deadline: %+v", answers)
	}
	answers[0].wantCode(400, "invalid_request")
	began := time.Now()
	if a := n.raw("GET /livez HT"); len(a) > 1 || len(a) == 1 && a[0].status != 400 {
		t.Errorf("a stalled head got %+v", a)
	}
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("a stalled head held its connection for %s", took)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	n := newNode(t, func(c *Config) { c.MaxConns = 2 })
	open := func() net.Conn {
		connection := must(net.Dial("tcp", n.addr))
		t.Cleanup(func() { connection.Close() })
		must(io.WriteString(connection, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"))
		return connection
	}
	read := func(connection net.Conn, patience time.Duration) error {
		_ = connection.SetReadDeadline(time.Now().Add(patience))
		_, err := connection.Read(make([]byte, 1))
		return err
	}
	first, second := open(), open()
	if err := read(first, 2*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := read(second, 2*time.Second); err != nil {
		t.Fatal(err)
	}
	third := open()
	if err := read(third, 100*time.Millisecond); err == nil {
		t.Fatal("a third connection was served")
	}
	first.Close()
	if err := read(third, 2*time.Second); err != nil {
		t.Fatalf("the third connection after the first went: %v", err)
	}
}

func TestDrainingEndsConnections(t *testing.T) {
	n := newNode(t, nil)
	n.server.Drain()
	a := n.raw("GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	if len(a) != 1 || !a[0].closes {
		t.Errorf("got %+v", a)
	}
}

func TestForwardingHeadersAreBelievedOnlyFromTrustedProxies(t *testing.T) {
	forged := []string{"X-Forwarded-For: 198.51.100.9", "Forwarded: for=198.51.100.9", "X-Real-IP: 198.51.100.9", "X-Forwarded-Host: evil.example"}
	n := newNode(t, nil)
	tok, _ := n.login(`{"user_id":"u1"}`)
	n.do("GET", "/api/sessions/current/", "", append(forged, token(tok))...).want(200)
	if client, _, _ := n.sessions.last(); client.IP != "127.0.0.1" {
		t.Errorf("the client is %s", client.IP)
	}
}

func TestLogsStayOneJSONLine(t *testing.T) {
	n := newNode(t, nil)
	hostile := "/a%0d%0a%1b%5b31m%e2%80%a8%e2%80%ae%ff%22%7d"
	n.do("GET", hostile+"hfs_0191.secretsecretsecretsecretsecretsecretsecretsec", "").want(404)
	n.do("GET", "/hfk_"+strings.Repeat("S", 43)+"/x", "").want(404)
	n.secret("hfk_" + strings.Repeat("S", 43))
	jwt := n.jwt("u1", nil)
	for _, path := range []string{jwt, "x" + jwt[5:], "HFS_0191." + strings.Repeat("s", 43), strings.Repeat("t", 43), strings.Repeat("/long", 101) + "/" + jwt} {
		n.do("GET", "/"+path, "").want(404)
		for _, part := range strings.Split(path, ".") {
			if len(part) > 38 && !strings.Contains(part, "/") {
				n.secret(part)
			}
		}
	}
	n.do("HFS_0191."+strings.Repeat("m", 43), "/livez", "").want(405)
	n.secret(strings.Repeat("m", 43))
	text := n.log.String()
	for _, bad := range []string{"\x1b", "\r", "\u2028", "\u202e", "secretsecret", `\u001b`} {
		if strings.Contains(text, bad) {
			t.Errorf("the log holds %q: %s", bad, text)
		}
	}
}

func TestOnlyFailuresAreLoggedByDefault(t *testing.T) {
	n := newNode(t, func(c *Config) { c.AccessLog = "" })
	n.do("GET", "/livez", "")
	n.do("GET", "/nothing", "")
	n.server.Drain()
	n.do("GET", "/readyz", "").want(503)
	if text := n.log.String(); strings.Contains(text, `"msg":"request"`) {
		t.Errorf("logged %s", text)
	}
	n.sessions.failWith(context.DeadlineExceeded)
	n.do("GET", "/api/sessions/current/", "", token("hfs_01234567-89ab-7def-8123-456789abcdef."+strings.Repeat("A", 43))).wantCode(503, "overloaded")
	n.do("DELETE", "/api/sessions/current/", "", token("hfs_01234567-89ab-7def-8123-456789abcdef."+strings.Repeat("A", 43))).wantCode(503, "outcome_unknown")
	if text := n.log.String(); !strings.Contains(text, `"msg":"request"`) || !strings.Contains(text, `"status":503`) {
		t.Errorf("logged %s", text)
	}
}

func TestTLSSpeaksBothProtocols(t *testing.T) {
	n := newNode(t, overTLS(t))
	for protocol, alpn := range map[string]string{"HTTP/2.0": "h2", "HTTP/1.1": "http/1.1"} {
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}},
			ForceAttemptHTTP2: alpn == "h2",
		}
		n.client = &http.Client{Transport: &contract{t: t, next: transport}}
		for path, want := range map[string]int{"/livez": 200, "/nothing": 404, "/api/sessions/current/": 401} {
			response, err := n.client.Get("https://" + n.addr + path)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.Proto != protocol || response.StatusCode != want {
				t.Errorf("%s: %s got %s %d", alpn, path, response.Proto, response.StatusCode)
			}
		}
		request := must(http.NewRequest("GET", "https://"+n.addr+"/livez", nil))
		request.Header.Set("X", strings.Repeat("a", MaxHeaderBytes))
		response, err := n.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 431 {
			t.Errorf("%s: a large head got %d", alpn, response.StatusCode)
		}
		transport.CloseIdleConnections()
	}
}

func TestPlainHTTPToATLSPortIsToldSo(t *testing.T) {
	n := newNode(t, overTLS(t))
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "OPTIONS", "PATCH", "DELETE"} {
		connection := must(net.Dial("tcp", n.addr))
		must(io.WriteString(connection, method+" /livez HTTP/1.1\r\nHost: x\r\n\r\n"))
		answers := readAnswers(t, connection)
		connection.Close()
		if len(answers) != 1 {
			t.Fatalf("%s: %d answers", method, len(answers))
		}
		if answers[0].wantCode(400, "invalid_request"); !strings.Contains(answers[0].text("detail"), "TLS") {
			t.Errorf("%s: %s", method, answers[0].body)
		}
	}
}

func TestAHandshakeThatStallsEnds(t *testing.T) {
	n := newNode(t, func(c *Config) {
		overTLS(t)(c)
		c.HeaderTimeout, c.MaxConns = 100*time.Millisecond, 1
	})
	silent := must(net.Dial("tcp", n.addr))
	defer silent.Close()
	_ = silent.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := silent.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a silent connection was kept: %v", err)
	}
	if a := n.raw("GET /livez HTTP/1.1\r\nHost: x\r\n" + closing + "\r\n"); len(a) != 1 || a[0].status != 200 {
		t.Errorf("its place was not given back: %+v", a)
	}
}

// TestAFloodOfResetStreams opens and resets HTTP/2 streams as fast as can be (CVE-2023-44487): the connection may end,
// the node goes on.
func TestAFloodOfResetStreams(t *testing.T) {
	n := newNode(t, overTLS(t))
	connection := must(tls.Dial("tcp", n.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}))
	defer connection.Close()
	must(io.WriteString(connection, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
	// :method GET, :scheme https, and :path and :authority as literals.
	head := "\x82\x87\x04\x06/livez\x41\x01x"
	for id := uint32(1); id < 20000; id += 2 {
		stream := string(binary.BigEndian.AppendUint32(nil, id))
		frames := "\x00\x00" + string(rune(len(head))) + "\x01\x05" + stream + head + "\x00\x00\x04\x03\x00" + stream + "\x00\x00\x00\x08"
		if _, err := io.WriteString(connection, frames); err != nil {
			break
		}
	}
	if a := n.raw("GET /leaderz HTTP/1.1\r\nHost: x\r\n" + closing + "\r\n"); len(a) != 1 || a[0].status != 200 {
		t.Errorf("after the flood: %+v", a)
	}
	if !strings.Contains(n.log.String(), `"path":"/livez"`) {
		t.Error("no stream of the flood was a request")
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	raw := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func FuzzHeadScan(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n"), uint8(7))
	f.Add([]byte("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"), uint8(1))
	f.Add([]byte("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"), uint8(3))
	f.Fuzz(func(t *testing.T, raw []byte, step uint8) {
		if step == 0 {
			return
		}
		// However the bytes are cut, the same place is refused for the same reason.
		var whole, pieces headScan
		keep, why := whole.feed(raw)
		at, got := 0, refusedNot
		for chunk := range chunks(raw, int(step)) {
			n, refused := pieces.feed(chunk)
			at += n
			if got = refused; got != refusedNot {
				break
			}
		}
		if why != got {
			t.Errorf("whole %d at %d, in pieces %d at %d", why, keep, got, at)
		}
		if keep > len(raw) || at > len(raw) {
			t.Errorf("%d and %d of %d bytes", keep, at, len(raw))
		}
	})
}

func chunks(raw []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(raw) > 0 {
			n := min(size, len(raw))
			if !yield(bytes.Clone(raw[:n])) {
				return
			}
			raw = raw[n:]
		}
	}
}

// FuzzHeadScanSeesTheRequestsOfNetHTTP holds the two readers of one connection against each other: where net/http sees a
// request end, headScan must see the next one begin.
func FuzzHeadScanSeesTheRequestsOfNetHTTP(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /a HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.0\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\ncontent-length:\t0003 \r\n\r\nabcGET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var scan headScan
		begins := make(map[int]bool)
		for i := range raw {
			if _, why := scan.feed(raw[i : i+1]); why != refusedNot {
				raw = raw[:i]
				break
			}
			begins[i+1] = scan.size == 0 && scan.body == 0 && !scan.blind
		}
		left := bytes.NewReader(raw)
		reader := bufio.NewReader(left)
		for {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, request.Body); err != nil || len(request.TransferEncoding) > 0 {
				return // the connection ends here
			}
			if at := len(raw) - left.Len() - reader.Buffered(); !begins[at] {
				t.Fatalf("net/http sees a request end at %d of %q", at, raw)
			}
		}
	})
}
