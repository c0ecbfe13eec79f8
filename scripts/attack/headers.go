package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

// headerRows are headers that claim what they may not, and bytes that must not break a line of the log.
func (a *attack) headerRows(ctx context.Context) ([]row, error) {
	s, err := a.newSession(ctx)
	if err != nil {
		return nil, err
	}
	n := a.nodes[0]
	var rows []row
	for _, claim := range [][]string{
		{"X-Forwarded-For", "203.0.113.9"},
		{"X-Forwarded-For", "203.0.113.9, 127.0.0.1"},
		{"Forwarded", "for=203.0.113.9;proto=https"},
		{"X-Real-IP", "203.0.113.9"},
		{"True-Client-IP", "203.0.113.9"},
		{"CF-Connecting-IP", "203.0.113.9"},
		{"X-Forwarded-For", "rubbish"},
		{"X-Forwarded-For", strings.Repeat("203.0.113.9, ", 1000) + "203.0.113.9"},
	} {
		rows = append(rows, steps(fmt.Sprintf("%s: %.30s", claim[0], claim[1]), "device.ip is the peer's, 127.0.0.1", func(ctx context.Context) verdict {
			return a.forwarded(ctx, claim)
		}))
	}
	for _, claim := range [][]string{
		{"Holdfast-Session", s.token},
		{"Holdfast-Client-IP", "203.0.113.9"},
		{"Holdfast-Client-User-Agent", "Firefox"},
		{"Holdfast-Client-IP", ""},
	} {
		rows = append(rows, asks(fmt.Sprintf("%s: %.12s beside a session token", claim[0], claim[1]),
			request{node: n, path: currentPath, auth: s.auth(), headers: claim}, badRequest),
			asks(fmt.Sprintf("%s: %.12s without a credential", claim[0], claim[1]), request{node: n, path: currentPath, headers: claim}, badRequest))
	}
	jwt, err := a.issuer.sign(a.issuer.claims("claimant"))
	if err != nil {
		return nil, err
	}
	rows = append(rows,
		asks("Holdfast-Client-IP beside a login JWT", request{
			node: n, method: "POST", path: createPath, body: "{}", auth: "Bearer " + jwt, headers: []string{"Holdfast-Client-IP", "203.0.113.9"},
		}, badRequest),
		asks("Holdfast-Client-IP that is none, beside a service key", request{
			node: n, path: currentPath, auth: "Bearer " + a.cluster.service, headers: []string{"Holdfast-Session", s.token, "Holdfast-Client-IP", "rubbish"},
		}, badRequest),
		asks("a cookie beside a service key", request{
			node: n, path: currentPath, auth: "Bearer " + a.cluster.service, headers: []string{"Cookie", tokenCookie + "=" + s.token},
		}, sessionInvalid),
		asks("Connection: Authorization, beside a good token", request{
			node: n, path: currentPath, auth: s.auth(), headers: []string{"Connection", "Authorization"},
		}, status(http.StatusOK, http.StatusBadRequest)),
		asks("X-HTTP-Method-Override: DELETE", request{
			node: n, path: currentPath, auth: s.auth(), headers: []string{"X-HTTP-Method-Override", "DELETE"},
		}, status(http.StatusOK)),
		steps("the session after all of these", "200 on every node", func(ctx context.Context) verdict {
			if err := a.lives(ctx, s); err != nil {
				return wrong("%v", err)
			}
			return right("200")
		}))
	return append(rows, a.logRows(s, jwt)...), nil
}

func (a *attack) forwarded(ctx context.Context, headers []string) verdict {
	jwt, err := a.issuer.sign(a.issuer.claims("forwarded"))
	if err != nil {
		return wrong("%v", err)
	}
	made := ask(ctx, request{node: a.nodes[0], method: "POST", path: createPath, body: "{}", auth: "Bearer " + jwt, headers: headers})
	a.secrets.addTokens(made)
	read := ask(ctx, request{node: a.nodes[0], path: currentPath, auth: "Session " + made.text("token"), headers: headers})
	for _, got := range []answer{made, read} {
		if got.err != nil || got.status >= 400 {
			return wrong("%s %.200s", got, got.body)
		}
		for _, member := range []string{"ip", "first_ip"} {
			if ip := got.text("session", "device", member); ip != "127.0.0.1" {
				return wrong("device.%s is %q", member, ip)
			}
		}
	}
	return right("127.0.0.1")
}

// logRows put into every field that may be logged what ends a line, colours a terminal or turns a text around, and then
// look at all lines of all nodes.
func (a *attack) logRows(s owned, jwt string) []row {
	n := a.nodes[0]
	const ansi, separators = "\x1b[31mred\x1b[0m", "a\u2028b\u2029c\u202ed"
	line := func(input, first, headers string) row {
		return sends(input, func(ctx context.Context) answer {
			return raw(ctx, n, first+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: "+s.auth()+"\r\n"+headers+"\r\n")
		}, expectation{"an answer of less than 500", func(got answer) string {
			if got.err != nil || got.count == 0 || got.status >= 500 {
				return got.String()
			}
			return ""
		}})
	}
	return []row{
		line("ANSI escapes in the user agent", "GET "+currentPath, "User-Agent: "+ansi+"\r\n"),
		line("U+2028 in the user agent", "GET "+currentPath, "User-Agent: "+separators+"\r\n"),
		line("a user agent that is not UTF-8", "GET "+currentPath, "User-Agent: \xff\xfe\x80\r\n"),
		line("a user agent of 15 KiB", "GET "+currentPath, "User-Agent: "+strings.Repeat("u", 15_000)+"\r\n"),
		line("CRLF in the path, encoded", "GET /x%0d%0a%7b%22level%22:%22ERROR%22%7d", ""),
		line("ANSI escapes in the path, encoded", "GET /x%1b%5b31m", ""),
		line("U+2028 in the path, encoded", "GET /x%e2%80%a8y%e2%80%ae", ""),
		line("a path that is not UTF-8", "GET /x%ff%fe", ""),
		line("a path with a quote and a backslash", `GET /x"\u000a\`, ""),
		line("a raw U+2028 in the path", "GET /x"+separators, ""),
		line("a raw ANSI escape in the path", "GET /x"+ansi, ""),
		line("a path of 15 KiB", "GET /"+strings.Repeat("p", 15_000), ""),
		line("a method of rubbish", "G%1b\xff /livez", ""),
		line("a long method", strings.Repeat("M", 15_000)+" /livez", ""),
		line("LF in Host, encoded", "GET http://a%0ab/livez", ""),
		line("ANSI escapes in X-Forwarded-For", "GET "+currentPath, "X-Forwarded-For: "+ansi+"\r\n"),
		line("ANSI escapes in a request id", "GET "+currentPath, "X-Request-Id: "+ansi+"\r\nTraceparent: "+ansi+"\r\n"),
		// The canary group looks for these.
		line("a token in the path", "GET /api/"+s.token+"/x", ""),
		line("a token in the path, an escape for a letter", "GET /%68fs%5f"+s.token[4:], ""),
		line("a token in the path, escaped twice", "GET /%2568fs%255f"+s.token[4:], ""),
		line("a secret in the path", "GET /"+secretOf(s.token), ""),
		line("a token in the query", "GET /livez?token="+s.token, ""),
		line("a token in Host, Referer and Origin", "GET "+currentPath, "Referer: http://x/"+s.token+"\r\nOrigin: http://"+s.token+"\r\n"),
		line("a token as the method", s.token+" /livez", ""),
		line("a token as a malformed first line", s.token, ""),
		line("a token as a header's name", "GET /livez", s.token+": x\r\n"),
		line("a JWT in the path", "GET /"+jwt, ""),
		line("a service key in the path", "GET /api/"+a.cluster.service, ""),
		line("an operator key in the path", "GET /cluster/"+a.cluster.operator, ""),
		line("the cluster key in the path", "GET /"+a.cluster.clusterKey, ""),
		a.validLogs(),
	}
}

// validLogs wants every line of every node's log to be one JSON object, and safe to look at.
func (a *attack) validLogs() row {
	return steps("every line of every node's log", "one JSON object, no control characters", func(ctx context.Context) verdict {
		if err := harness.Pause(ctx, 200*time.Millisecond); err != nil { // the line of an answer comes after the answer
			return wrong("%v", err)
		}
		lines := 0
		for _, n := range a.everyone() {
			raw, err := os.ReadFile(n.logFile)
			if err != nil {
				return wrong("%v", err)
			}
			if end := bytes.LastIndexByte(raw, '\n'); end >= 0 {
				raw = raw[:end] // the last line may be being written
			}
			for line := range bytes.SplitSeq(raw, []byte("\n")) {
				if fault := logFault(line); fault != "" {
					return wrong("%s: %s: %.200q", n.id, fault, line)
				}
				lines++
			}
		}
		if lines < 10 {
			return wrong("only %d lines: this shows nothing", lines)
		}
		return right("%d lines", lines)
	})
}

func logFault(line []byte) string {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(line, &object); err != nil {
		return "not one JSON object: " + err.Error()
	}
	if !utf8.Valid(line) {
		return "not UTF-8"
	}
	for _, r := range string(line) {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= 0x202a && r <= 0x202e {
			return fmt.Sprintf("holds %U", r)
		}
	}
	return ""
}
