package load

import "bytes"

// statusOf reads a status line, "HTTP/1.1 200 OK", and returns the header lines after it.
func statusOf(block []byte) (status int, rest []byte, err error) {
	line, rest, _ := bytes.Cut(block, []byte("\r\n"))
	if bytes.IndexByte(line, '\n') >= 0 { // others would end the line there, and see another answer than we do
		return 0, nil, malformed("bare line feed")
	}
	if len(line) < len("HTTP/1.1 200") || string(line[:9]) != "HTTP/1.1 " || (len(line) > 12 && line[12] != ' ') {
		return 0, nil, malformed("status line")
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return 0, nil, malformed("status code")
		}
		status = status*10 + int(c-'0')
	}
	if status < 100 || status == 101 { // nobody asked for another protocol
		return 0, nil, malformed("status code")
	}
	return status, rest, nil
}

// headersOf looks for the three headers that say where an answer ends. Every line ends with CRLF.
func headersOf(lines []byte) (head, error) {
	h := head{length: -1}
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n')
		if end < 1 || lines[end-1] != '\r' {
			return h, malformed("header line")
		}
		line := lines[:end-1]
		lines = lines[end+1:]
		colon := bytes.IndexByte(line, ':')
		if colon < 1 || line[0] == ' ' || line[0] == '\t' { // folded lines are obsolete, RFC 9112, 5.2
			return h, malformed("header line")
		}
		switch name := line[:colon]; {
		case named(name, "content-length"):
			n, err := contentLength(bytes.TrimSpace(line[colon+1:]))
			if err != nil || h.length >= 0 && h.length != n {
				return h, malformed("content length")
			}
			h.length = n
		case named(name, "transfer-encoding"):
			if !bytes.EqualFold(bytes.TrimSpace(line[colon+1:]), []byte("chunked")) {
				return h, malformed("transfer encoding")
			}
			h.chunked = true
		case named(name, "connection"):
			h.close = h.close || bytes.EqualFold(bytes.TrimSpace(line[colon+1:]), []byte("close"))
		}
	}
	if h.chunked && h.length >= 0 {
		return h, malformed("both a content length and chunks")
	}
	return h, nil
}

// named compares a header's name; the lengths differ almost always, which makes the scan cheap.
func named(name []byte, lower string) bool {
	return len(name) == len(lower) && bytes.EqualFold(name, []byte(lower))
}

func contentLength(digits []byte) (n int, err error) {
	if len(digits) == 0 || len(digits) > 9 {
		return 0, malformed("content length")
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, malformed("content length")
		}
		n = n*10 + int(c-'0')
	}
	return n, nil
}

// chunkSize reads the hexadecimal size in front of a chunk; extensions after a semicolon are ignored.
func chunkSize(line []byte) (n int, err error) {
	digits, _, _ := bytes.Cut(line, []byte(";"))
	digits = bytes.TrimRight(digits, " \t")
	if len(digits) == 0 || len(digits) > 7 {
		return 0, malformed("chunk size")
	}
	for _, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 + int(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			n = n<<4 + int(c|0x20-'a') + 10
		default:
			return 0, malformed("chunk size")
		}
	}
	return n, nil
}

// stringField finds the first string member of this name in a JSON text, as it stands there, without decoding it. The
// values that are looked for (a token, an error's code) need no escapes, and decoding would cost more than the request.
func stringField(json []byte, quotedName string) (value []byte, ok bool) {
	i := bytes.Index(json, []byte(quotedName))
	if i < 0 {
		return nil, false
	}
	rest := bytes.TrimLeft(json[i+len(quotedName):], " \t\r\n")
	if len(rest) == 0 || rest[0] != ':' {
		return nil, false
	}
	rest = bytes.TrimLeft(rest[1:], " \t\r\n")
	if len(rest) == 0 || rest[0] != '"' {
		return nil, false
	}
	end := bytes.IndexByte(rest[1:], '"')
	if end < 0 {
		return nil, false
	}
	return rest[1 : 1+end], true
}
