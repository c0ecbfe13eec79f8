package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

// The frames of HTTP/2 that rows send (RFC 9113, section 6), written by hand: a library would refuse to.
const (
	frameData         = 0
	frameHeaders      = 1
	frameReset        = 3
	frameSettings     = 4
	framePush         = 5
	framePing         = 6
	frameWindowUpdate = 8
	frameContinuation = 9

	flagEndStream  = 1
	flagEndHeaders = 4

	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

func frame(kind, flags byte, stream uint32, payload string) string {
	head := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return string(binary.BigEndian.AppendUint32(head, stream)) + payload
}

// fields encodes headers as HPACK literals without indexing (RFC 7541, section 6.2.2); names and values are pairs of
// less than 127 bytes each.
func fields(pairs ...string) string {
	var block strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		block.WriteByte(0)
		for _, text := range pairs[i : i+2] {
			block.WriteByte(byte(len(text)))
			block.WriteString(text)
		}
	}
	return block.String()
}

// get are the pseudo-headers of a good request.
func get(path string) string {
	return fields(":method", "GET", ":scheme", "https", ":authority", "x", ":path", path)
}

// dialHTTP2 connects and sends the preface.
func dialHTTP2(ctx context.Context, n *node) (net.Conn, error) {
	connection, err := dialHTTP(ctx, n, "h2")
	if err != nil {
		return nil, err
	}
	_ = connection.SetDeadline(time.Now().Add(rawWait))
	_, err = connection.Write([]byte(preface + frame(frameSettings, 0, 0, "")))
	return connection, err
}

// succeeded says whether a stream of frames holds an answer of 200: Go encodes that as the index 8 of the static table,
// which is the first byte of the block.
func succeeded(got []byte) bool {
	for len(got) >= 9 {
		length := int(got[0])<<16 | int(got[1])<<8 | int(got[2])
		if got[3] == frameHeaders && len(got) > 9 && length > 0 && got[9] == 0x88 {
			return true
		}
		got = got[min(len(got), 9+length):]
	}
	return false
}

// frameRows are requests that HTTP/2 forbids. None may be answered as if it were good.
func (a *attack) frameRows(n *node) []row {
	complete := byte(flagEndStream | flagEndHeaders)
	one := func(block string) string { return frame(frameHeaders, complete, 1, block) }
	rows := []row{
		steps("HTTP/2 by hand: a good request, so that the others mean something", "200", func(ctx context.Context) verdict {
			if got, _, err := sendFrames(ctx, n, one(get("/livez"))); err != nil || !succeeded(got) {
				return wrong("%d bytes, %v", len(got), err)
			}
			return right("200")
		}),
	}
	for _, f := range []struct{ input, frames string }{
		{"Transfer-Encoding", one(get("/livez") + fields("transfer-encoding", "chunked"))},
		{"Connection", one(get("/livez") + fields("connection", "keep-alive"))},
		{"an upper-case name", one(get("/livez") + fields("X-Upper", "a"))},
		{"CRLF in a value", one(get("/livez") + fields("x", "a\r\nHost: evil"))},
		{"NUL in a value", one(get("/livez") + fields("x", "a\x00b"))},
		{"two :paths", one(get("/livez") + fields(":path", "/metrics"))},
		{"an unknown pseudo-header", one(get("/livez") + fields(":evil", "x"))},
		{"a pseudo-header behind the others", one(fields(":method", "GET", ":scheme", "https", "x", "y", ":path", "/livez"))},
		{"no :path", one(fields(":method", "GET", ":scheme", "https", ":authority", "x"))},
		{"an empty :path", one(get(""))},
		{"CRLF in :path", one(get("/livez\r\nX: y"))},
		{"a stream of an even number", frame(frameHeaders, complete, 2, get("/livez"))},
		{"stream 0", frame(frameHeaders, complete, 0, get("/livez"))},
		{"PUSH_PROMISE by a client", frame(framePush, flagEndHeaders, 1, "\x00\x00\x00\x02"+get("/livez"))},
		{"a CONTINUATION of nothing", frame(frameContinuation, flagEndHeaders, 1, get("/livez"))},
		{"a block that ends in the middle", one(get("/livez")[:20])},
		{"an index beyond the table", one(get("/livez") + "\xff\xff\xff\x7f")},
		{"a frame of 16 MiB, announced", "\xff\xff\xff\x00\x00\x00\x00\x00\x01"},
		{"a window beyond 2^31", frame(frameWindowUpdate, 0, 0, "\x7f\xff\xff\xff") + one(get("/metrics-not"))},
		{"a Content-Length of 5 without a body", one(fields(":method", "POST", ":scheme", "https", ":authority", "x", ":path", "/livez", "content-length", "5"))},
		{"two Content-Lengths", frame(frameHeaders, flagEndHeaders, 1, fields(":method", "POST", ":scheme", "https", ":authority", "x",
			":path", "/livez", "content-length", "1", "content-length", "2")) + frame(frameData, flagEndStream, 1, "a")},
		{"rubbish for frames", string(randomBytes(2000))},
	} {
		rows = append(rows, steps("HTTP/2: "+f.input, "no 200", func(ctx context.Context) verdict {
			got, closed, err := sendFrames(ctx, n, f.frames)
			switch {
			case err != nil:
				return wrong("%v", err)
			case succeeded(got):
				return wrong("200")
			}
			return right("%s", map[bool]string{true: "refused, closed", false: "refused"}[closed])
		}))
	}
	return rows
}

// sendFrames sends frames on a connection of its own and reads what comes within a second.
func sendFrames(ctx context.Context, n *node, frames string) (got []byte, closed bool, err error) {
	connection, err := dialHTTP2(ctx, n)
	if err != nil {
		return nil, false, err
	}
	defer connection.Close()
	_, _ = connection.Write([]byte(frames)) // the node may have hung up already
	_ = connection.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	got, closed = readUntil(connection)
	return got, closed, nil
}

// floodRows are frames that are cheap to send. Others must be served meanwhile, and nothing be left behind.
func (a *attack) floodRows(n *node, s owned) []row {
	// A dynamic entry of 4,000 bytes, and thousands of one-byte references to it.
	bomb := get("/livez") + "\x40\x01x\x7f\xa1\x1e" + strings.Repeat("a", 4000) + strings.Repeat("\xbe", 12_000)
	unended := frame(frameHeaders, flagEndStream, 1, get("/livez"))
	open := frame(frameHeaders, flagEndHeaders, 1, fields(":method", "POST", ":scheme", "https", ":authority", "x", ":path", createPath))
	var rows []row
	for _, f := range []struct {
		input string
		first string
		times int
		next  func(i int) string
	}{
		{"5,000 streams, each reset at once", "", 5000, func(i int) string {
			id := uint32(2*i + 1)
			return frame(frameHeaders, flagEndStream|flagEndHeaders, id, get(currentPath)) + frame(frameReset, 0, id, "\x00\x00\x00\x08")
		}},
		{"CONTINUATION without end, 8 MiB", unended, 512, func(int) string {
			return frame(frameContinuation, 0, 1, strings.Repeat(fields("x", strings.Repeat("a", 100)), 150))
		}},
		{"empty CONTINUATIONs, 20,000", unended, 20_000, func(int) string { return frame(frameContinuation, 0, 1, "") }},
		{"SETTINGS, 20,000, answers never read", "", 20_000, func(int) string { return frame(frameSettings, 0, 0, "\x00\x04\x00\x00\x00\x01") }},
		{"PING, 20,000, answers never read", "", 20_000, func(int) string { return frame(framePing, 0, 0, "12345678") }},
		{"empty DATA, 20,000", open, 20_000, func(int) string { return frame(frameData, 0, 1, "") }},
		{"2,000 streams at once without a body", "", 2000, func(i int) string {
			return frame(frameHeaders, flagEndHeaders, uint32(2*i+1), fields(":method", "PATCH", ":scheme", "https", ":authority", "x", ":path", currentPath,
				"content-type", "application/json", "content-length", "10"))
		}},
		{"a block of 16 KiB that decodes to 48 MB", "", 20, func(i int) string {
			return frame(frameHeaders, flagEndStream|flagEndHeaders, uint32(2*i+1), bomb)
		}},
	} {
		rows = append(rows, steps("HTTP/2: "+f.input, "others served, no goroutine left", func(ctx context.Context) verdict {
			return a.flood(ctx, n, s, f.first, f.times, f.next)
		}))
	}
	return rows
}

func (a *attack) flood(ctx context.Context, n *node, s owned, first string, times int, next func(int) string) verdict {
	const noise = 20
	before, err := goroutines(ctx, n)
	if err != nil {
		return wrong("%v", err)
	}
	good, stop := a.goodRequests(ctx, n, s)
	defer stop()
	connection, err := dialHTTP2(ctx, n)
	if err != nil {
		return wrong("%v", err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
	sent, buffered := 0, []byte(first)
	for i := range times {
		if buffered = append(buffered, next(i)...); len(buffered) > 32<<10 || i == times-1 {
			if _, err = connection.Write(buffered); err != nil {
				break // the node has had enough
			}
			buffered = buffered[:0]
		}
		sent++
	}
	_ = harness.Pause(ctx, 200*time.Millisecond) // good requests beside what the node still does
	connection.Close()
	after := 0
	if left := harness.Poll(ctx, bodyLimit+limitSlack, func() error {
		if after, err = goroutines(ctx, n); err == nil && after > before+noise {
			err = fmt.Errorf("%d goroutines, %d before", after, before)
		}
		return err
	}); left != nil {
		return wrong("%v", left)
	}
	stop()
	if failed := good.failed.Load(); failed != "" || good.count.Load() == 0 {
		return wrong("%d good requests, and: %v", good.count.Load(), failed)
	}
	return right("%d of %d sent, %d good requests, goroutines %d, then %d", sent, times, good.count.Load(), before, after)
}
