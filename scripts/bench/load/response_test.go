package load

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestParserReadsWhatANodeMayAnswer(t *testing.T) {
	for _, test := range []struct {
		name, wire, body string
		status           int
		close            bool
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, false},
		{"odd case and spaces", "HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh:  5 \r\n\r\nhello", "hello", 200, false},
		{"no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "", 200, false},
		{"no body", "HTTP/1.1 204 No Content\r\nHoldfast-Index: a.1\r\n\r\n", "", 204, false},
		{"not modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", "", 304, false},
		{"close", "HTTP/1.1 503 X\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", "x", 503, true},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\nall of it", "all of it", 200, true},
		{
			"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
			"hello0123456789", 200, false,
		},
		{"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", "ok", 201, false},
	} {
		for _, way := range []string{"whole", "byte by byte"} {
			t.Run(test.name+" "+way, func(t *testing.T) {
				var src io.Reader = strings.NewReader(test.wire)
				if way != "whole" {
					src = iotest.OneByteReader(src)
				}
				p := parser{src: src}
				r, err := p.next()
				if err != nil || r.status != test.status || string(r.body) != test.body || r.close != test.close {
					t.Errorf("%d %q close=%v, error %v", r.status, r.body, r.close, err)
				}
				if _, err := p.next(); !errors.Is(err, io.EOF) {
					t.Errorf("after the answer: %v", err)
				}
			})
		}
	}
}

func TestParserRefusesWhatIsNoAnswer(t *testing.T) {
	for _, wire := range []string{
		"HTTP/1.0 200 OK\r\n\r\n",
		"HTTP/2 200\r\n\r\n",
		"nonsense\r\n\r\n",
		"HTTP/1.1 2x0 OK\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxHeadBytes),
	} {
		p := parser{src: strings.NewReader(wire)}
		if r, err := p.next(); !errors.Is(err, errMalformed) {
			t.Errorf("%.60q: %+v, error %v", wire, r, err)
		}
	}
}

func TestParserNoticesAnAnswerThatIsCutOff(t *testing.T) {
	for _, wire := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	} {
		for cut := 1; cut < len(wire); cut++ {
			p := parser{src: strings.NewReader(wire[:cut])}
			if _, err := p.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%q: error %v", wire[:cut], err)
			}
		}
	}
}

func FuzzParser(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		p := parser{src: bytes.NewReader(wire)}
		r, err := p.next()
		if err != nil || bytes.HasPrefix(wire, []byte("HTTP/1.1 1")) {
			return
		}
		std, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(wire)), nil)
		if err != nil {
			return // net/http looks at more headers than we need
		}
		body, err := io.ReadAll(std.Body)
		if err == nil && (std.StatusCode != r.status || !bytes.Equal(body, r.body)) {
			t.Errorf("%q: we read %d %q, net/http %d %q", wire, r.status, r.body, std.StatusCode, body)
		}
	})
}

func TestMalformedAnswersAreCountedAndTheRunGoesOn(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	good := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
	answers := []string{good, "garbage\r\n\r\n", good, good + good, good, "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"}
	go func() {
		for i := 0; ; {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			for in := bufio.NewReader(conn); ; i++ {
				if _, err := http.ReadRequest(in); err != nil {
					break
				}
				io.WriteString(conn, answers[i%len(answers)])
			}
			conn.Close()
		}
	}()
	result := mustRun(t, Options{
		Addrs: []string{listener.Addr().String()}, Profile: Get, Clients: 1, Count: 60, Tokens: testTokens(t, 1), Timeout: 5 * time.Second,
	})
	if result.Operations+result.Errors != 60 || result.Errors != 30 || len(result.ErrorKinds) != 1 ||
		result.ErrorKinds[0].Code != "malformed_response" {
		t.Errorf("result %+v", result)
	}
}
