package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
)

// bodyRows are bodies that two JSON parsers may read differently, or that cost more than they may.
func (a *attack) bodyRows(s owned) []row {
	n := a.nodes[0]
	patch := func(body string) request {
		return request{node: n, method: "PATCH", path: currentPath, body: body, auth: s.auth()}
	}
	var rows []row
	for _, b := range []struct{ input, body string }{
		{"two equal keys", `{"a":1,"a":2}`},
		{"two equal keys, one escaped", `{"a":1,"\u0061":2}`},
		{"two equal keys, deeper", `{"x":{"a":1,"a":2}}`},
		{"depth 10,000, objects", strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)},
		{"depth 10,000, arrays", `{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}"},
		{"depth 10,000, never closed", `{"a":` + strings.Repeat("[", 10_000)},
		{"invalid UTF-8", "{\"a\":\"\xff\"}"},
		{"an overlong UTF-8 slash", "{\"a\":\"\xc0\xaf\"}"},
		{"a UTF-8 surrogate", "{\"a\":\"\xed\xa0\x80\"}"},
		{"a lone high surrogate", `{"a":"\ud800"}`},
		{"a lone low surrogate", `{"a":"\udc00"}`},
		{"surrogates turned around", `{"a":"\udc00\ud800"}`},
		{"a lone surrogate in a key", `{"\ud800":1}`},
		{"trailing garbage", `{"a":1}x`},
		{"two objects", `{"a":1}{"b":1}`},
		{"a trailing NUL", "{\"a\":1}\x00"},
		{"a trailing comma", `{"a":1,}`},
		{"a comment", `{"a":1/*x*/}`},
		{"single quotes", `{'a':1}`},
		{"NaN", `{"a":NaN}`},
		{"a number with a leading zero", `{"a":01}`},
		{"a number in hexadecimal", `{"a":0x1}`},
		{"a raw line feed in a string", "{\"a\":\"x\ny\"}"},
		{"a byte order mark", "\ufeff{}"},
		{"an array", `[1]`},
		{"null", `null`},
		{"cut", `{"a":`},
		{"blanks alone", "   "},
	} {
		rows = append(rows, asks("body: "+b.input, patch(b.body), badRequest))
	}
	for _, b := range []struct{ input, body string }{
		{"an unknown member", `{"unknown":1}`},
		{"user_id twice, one escaped", `{"user_id":"a","user\u005fid":"b"}`},
		{"user_id in another case", `{"User_ID":"a"}`},
		{"user_id with NUL", `{"user_id":"a\u0000"}`},
		{"user_id of 257 bytes", `{"user_id":"` + strings.Repeat("u", 257) + `"}`},
		{"idle_timeout negative", `{"idle_timeout":"-1h"}`},
		{"idle_timeout below two touch intervals", `{"idle_timeout":"999ms"}`},
		{"idle_timeout as a number", `{"idle_timeout":60}`},
		{"absolute_timeout beyond 400 days", `{"absolute_timeout":"99999h"}`},
		{"absolute_timeout beyond 64 bits", `{"absolute_timeout":"9999999999999999h"}`},
		{"auth with an unknown member", `{"auth":{"x":1}}`},
		{"carry as text", `{"carry":"x"}`},
	} {
		rows = append(rows, asks("create: "+b.input, request{node: n, method: "POST", path: createPath, body: b.body, auth: "Bearer " + a.cluster.service}, badRequest))
	}
	tooLarge := problem(http.StatusRequestEntityTooLarge, "payload_too_large")
	return append(
		rows,
		asks("body: 65 KiB of data", patch(`{"a":"`+strings.Repeat("x", 65<<10)+`"}`), tooLarge),
		sends("body: 129 KiB", func(ctx context.Context) answer {
			return askOversized(ctx, patch(`{"a":"`+strings.Repeat("x", 129<<10)+`"}`))
		}, tooLarge),
		sends("body: a Content-Length of 10 GB", func(ctx context.Context) answer {
			return raw(ctx, n, head("PATCH", currentPath, s)+"Content-Length: 10000000000\r\n\r\n{")
		}, tooLarge.hangsUp()),
		sends("body: a Content-Length of 10 GB, Expect: 100-continue", func(ctx context.Context) answer {
			return raw(ctx, n, head("PATCH", currentPath, s)+"Content-Length: 10000000000\r\nExpect: 100-continue\r\n\r\n")
		}, tooLarge.hangsUp()),
		sends("body: 512 KiB of chunks", func(ctx context.Context) answer {
			chunks := strings.Repeat("2000\r\n"+strings.Repeat(" ", 0x2000)+"\r\n", 64)
			return raw(ctx, n, head("PATCH", currentPath, s)+"Transfer-Encoding: chunked\r\n\r\n"+chunks)
		}, tooLarge.hangsUp()),
		sends("body: chunks with 20 KiB of extensions", func(ctx context.Context) answer {
			chunks := strings.Repeat("1;"+strings.Repeat("x", 4000)+"\r\n \r\n", 5)
			return raw(ctx, n, head("PATCH", currentPath, s)+"Transfer-Encoding: chunked\r\n\r\n"+chunks+"0\r\n\r\n")
		}, badRequest.hangsUp()),
		steps("numbers beyond 2^53, through create, patch and read", "every digit kept, on every node", a.keepsDigits),
		steps("the session after all of these", "200, its data unchanged", func(ctx context.Context) verdict {
			got := ask(ctx, strongRead(n, s.token))
			if data := fmt.Sprint(got.member("session", "data")); got.status != http.StatusOK || data != "map[]" {
				return wrong("%s, data %s", got, data)
			}
			return right("%s", got)
		}),
	)
}

// askOversized asks up to three times for an answer. The node may refuse and hang up before it has read everything, and
// where this machine is busy for so long that the node no longer waits, the client is told of that instead.
func askOversized(ctx context.Context, r request) (got answer) {
	for range 3 {
		if got = ask(ctx, r); !errors.Is(got.err, syscall.ECONNRESET) && !errors.Is(got.err, syscall.EPIPE) {
			break
		}
	}
	return got
}

// head is the beginning of a raw request with JSON; the end of the head is the caller's.
func head(method, path string, s owned) string {
	return method + " " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: " + s.auth() + "\r\nContent-Type: application/json\r\n"
}

func (a *attack) keepsDigits(ctx context.Context) verdict {
	const first, second = `"n":9007199254740993`, `"m":123456789012345678901234567890`
	made, err := mustAsk(ctx, http.StatusCreated, request{
		node: a.nodes[0], method: "POST", path: createPath, auth: "Bearer " + a.cluster.service, body: `{"user_id":"digits","data":{` + first + `}}`,
	})
	if err != nil {
		return wrong("%v", err)
	}
	a.secrets.addTokens(made)
	token := made.text("token")
	patched, err := mustAsk(ctx, http.StatusOK, request{
		node: a.nodes[1], method: "PATCH", path: currentPath, auth: "Session " + token, body: `{` + second + `}`,
	})
	if err != nil {
		return wrong("%v", err)
	}
	if !strings.Contains(made.body, first) || !strings.Contains(patched.body, first) || !strings.Contains(patched.body, second) {
		return wrong("the answers of the writes have other digits: %.300s", patched.body)
	}
	for _, n := range a.nodes {
		got := ask(ctx, strongRead(n, token))
		if !strings.Contains(got.body, first) || !strings.Contains(got.body, second) {
			return wrong("%s has other digits: %.300s", n.id, got.body)
		}
	}
	return right("all digits")
}
