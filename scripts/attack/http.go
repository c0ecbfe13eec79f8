package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// httpRows attacks the reading of requests: heads, targets, bodies, and time.
func (a *attack) httpRows(ctx context.Context) ([]row, error) {
	s, err := a.newSession(ctx)
	if err != nil {
		return nil, err
	}
	rows := a.slowRows(s) // first, as they wait beside the others
	rows = append(rows, headRows(a.nodes[0])...)
	rows = append(rows, hello(a.nodes[0]))
	rows = append(rows, a.targetRows()...)
	rows = append(rows, a.typeRows(s)...)
	return append(rows, a.bodyRows(s)...), nil
}

// smuggled is a request behind another one: where it is answered, its bytes were taken for the wrong thing.
const smuggled = "GET /livez HTTP/1.1\r\nHost: x\r\nX: smuggled\r\n\r\n"

// headRows are heads that two parsers on one way may read differently.
func headRows(n *node) []row {
	var rows []row
	for _, h := range []struct{ input, bytes string }{
		{"Content-Length and Transfer-Encoding", "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"Transfer-Encoding and Content-Length, odd case", "POST /livez HTTP/1.1\r\nHost: x\r\ntransfer-ENCODING: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n"},
		{"two equal Content-Lengths", "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd"},
		{"two different Content-Lengths", "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 0\r\n\r\nabcd"},
		{"a list of Content-Lengths", "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4, 4\r\n\r\nabcd"},
		{"a signed Content-Length", "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\nabcd"},
		{"a Content-Length in hexadecimal", "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0x4\r\n\r\nabcd"},
		{"a Content-Length beyond 64 bits", "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nabcd"},
		{"Transfer-Encoding in HTTP/1.0", "POST /livez HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"Transfer-Encoding: gzip", "POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"},
		{"Transfer-Encoding: gzip, chunked", "POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
		{"Transfer-Encoding: chunked with a vertical tab", "POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n"},
		{"a folded header", "GET /livez HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n"},
		{"a folded header, by tab", "GET /livez HTTP/1.1\r\nHost: x\r\nX: a\r\n\tb\r\n\r\n"},
		{"a bare LF in the first line", "GET /livez HTTP/1.1\nHost: x\r\n\r\n"},
		{"a bare LF in a header", "GET /livez HTTP/1.1\r\nHost: x\nX: y\r\n\r\n"},
		{"a bare LF at the end of the head", "GET /livez HTTP/1.1\r\nHost: x\r\n\n"},
		{"a bare CR in a header", "GET /livez HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n"},
		{"a space before the colon", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length : 4\r\n\r\nabcd"},
		{"a space before the first header", "GET /livez HTTP/1.1\r\n Host: x\r\n\r\n"},
		{"NUL in a header's value", "GET /livez HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n"},
		{"NUL in a header's name", "GET /livez HTTP/1.1\r\nHost: x\r\nX\x00: a\r\n\r\n"},
		{"a header without a colon", "GET /livez HTTP/1.1\r\nHost: x\r\nrubbish\r\n\r\n"},
		{"no Host", "GET /livez HTTP/1.1\r\n\r\n"},
		{"two Hosts", "GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"},
		{"HTTP/3.0 in the first line", "GET /livez HTTP/3.0\r\nHost: x\r\n\r\n"},
	} {
		rows = append(rows, sends(h.input, func(ctx context.Context) answer { return raw(ctx, n, h.bytes, smuggled) }, badRequest.hangsUp()))
	}
	tooLarge := problem(http.StatusRequestHeaderFieldsTooLarge, "headers_too_large").hangsUp()
	for _, h := range []struct{ input, bytes string }{
		{"17 KiB in one header", "GET /livez HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 17<<10) + "\r\n\r\n"},
		{"five thousand headers", "GET /livez HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 5000) + "\r\n"},
		{"five thousand cookies in one header", "GET /livez HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("a=b; ", 5000) + "\r\n\r\n"},
		{"two thousand Cookie headers", "GET /livez HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("Cookie: a=b\r\n", 2000) + "\r\n"},
		{"a target of 20 KiB", "GET /" + strings.Repeat("a", 20<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"a megabyte of cookies", "GET /livez HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("a=b; ", 200<<10) + "\r\n\r\n"},
		{"a header that never ends", "GET /livez HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 64<<10)},
	} {
		rows = append(rows, sends(h.input, func(ctx context.Context) answer { return raw(ctx, n, h.bytes) }, tooLarge))
	}
	return append(rows, sends("a chunked request with another behind it",
		func(ctx context.Context) answer {
			return raw(ctx, n, "POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", smuggled)
		}, problem(http.StatusMethodNotAllowed, "method_not_allowed").hangsUp()))
}

func hello(n *node) row {
	return sends("a TLS hello to the plain port", func(ctx context.Context) answer {
		return raw(ctx, n, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 rubbish\r\n\r\n")
	}, badRequest.hangsUp())
}

// targetRows are targets that name another host, or a path in another spelling.
func (a *attack) targetRows() []row {
	n := a.nodes[0]
	get := func(target string) func(context.Context) answer {
		return func(ctx context.Context) answer {
			return raw(ctx, n, "GET "+target+" HTTP/1.1\r\nHost: "+n.httpAddr+"\r\nConnection: close\r\n\r\n")
		}
	}
	var rows []row
	for _, target := range []string{
		"http://evil.example/livez", "https://evil.example/", "http://127.0.0.1:1/livez", "http://" + n.httpAddr + "@evil.example/livez",
		"http://evil.example:80" + currentPath,
	} {
		rows = append(rows, sends("target "+target, get(target), problem(http.StatusMisdirectedRequest, "misdirected_request")))
	}
	for _, target := range []string{
		"//livez", "//api//sessions/current/", "/api//sessions/current/", "/api/sessions/../sessions/current/", "/../livez", "/./livez",
		"/%2e%2e/livez", "/api/sessions/%2e%2e/sessions/current/", "/%2Flivez", "/livez%00", "/api/sessions%2Fcurrent/", "/l%69vez",
		"/livez/..;/metrics", "/LIVEZ", "/livez;x=y", `/api\sessions\current\`, "/livez//",
	} {
		rows = append(rows, sends("path "+target, get(target), notFound))
	}
	return append(
		rows,
		sends("OPTIONS *", func(ctx context.Context) answer {
			return raw(ctx, n, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		}, notFound),
		sends("CONNECT evil.example:80", func(ctx context.Context) answer {
			return raw(ctx, n, "CONNECT evil.example:80 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		}, status(http.StatusMisdirectedRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadRequest)),
		sends("the preface of HTTP/2 without TLS", func(ctx context.Context) answer {
			return raw(ctx, n, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		}, expectation{"4xx, closed", func(got answer) string {
			if got.status < 400 || got.status > 499 || !got.closed {
				return got.String()
			}
			return ""
		}}),
	)
}

// typeRows are methods and types that a call does not take.
func (a *attack) typeRows(s owned) []row {
	n := a.nodes[0]
	notAllowed := problem(http.StatusMethodNotAllowed, "method_not_allowed").with("Allow", func(got answer) string {
		if got.header.Get("Allow") == "" {
			return "there is no Allow"
		}
		return ""
	})
	var rows []row
	for _, c := range []struct{ method, path string }{
		{"GET", createPath},
		{"PUT", currentPath},
		{"POST", currentPath},
		{"TRACE", currentPath},
		{"DELETE", listPath},
		{"GET", refreshPath},
		{"POST", "/livez"},
		{"PATCH", "/api/sessions/invalidate-all/"},
		{"GET", "/api/introspect/"},
		{"BREW", currentPath},
		{"get", currentPath},
	} {
		rows = append(rows, asks("method "+c.method+" "+c.path, request{node: n, method: c.method, path: c.path, auth: s.auth()}, notAllowed))
	}
	refused := problem(http.StatusUnsupportedMediaType, "unsupported_media_type")
	for _, text := range []string{
		"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=latin1",
		"application/json; charset=utf-16", "application/json; charset", "application/json; q=1", "application/jsonx", "application/xml", "text/json",
		"application/json, text/plain",
	} {
		rows = append(rows, asks(fmt.Sprintf("Content-Type %q", text), request{
			node: n, method: "PATCH", path: currentPath, body: `{"a":1}`, auth: s.auth(), headers: []string{"Content-Type", text},
		}, refused))
	}
	for _, coding := range []string{"gzip", "identity", "br", "deflate, gzip"} {
		rows = append(rows, asks("Content-Encoding "+coding, request{
			node: n, method: "PATCH", path: currentPath, body: `{"a":1}`, auth: s.auth(), headers: []string{"Content-Type", jsonType, "Content-Encoding", coding},
		}, refused))
	}
	return rows
}
