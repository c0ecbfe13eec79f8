package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// rawWait is how long after the last byte an answer may take, and how long the end of the connection is waited for.
const rawWait = 3 * time.Second

// raw sends bytes that no HTTP library would, and reads answers until the node ends the connection or stays silent.
func raw(ctx context.Context, n *node, chunks ...string) answer {
	began := time.Now()
	connection, err := dialHTTP(ctx, n, "http/1.1")
	if err != nil {
		return answer{err: err}
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(rawWait))
	for _, chunk := range chunks {
		if _, err := io.WriteString(connection, chunk); err != nil {
			break // the node may have answered and hung up already
		}
	}
	first := answer{}
	reader := bufio.NewReader(connection)
	for {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			first.closed = !errors.Is(err, os.ErrDeadlineExceeded)
			first.took = time.Since(began)
			return first
		}
		body, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		response.Body.Close()
		if first.count++; first.count == 1 {
			first.status, first.header, first.body = response.StatusCode, response.Header, string(body)
		}
	}
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return d.DialContext(ctx, "tcp", addr)
}

// dialHTTP connects to where the node serves clients, through TLS if it does.
func dialHTTP(ctx context.Context, n *node, protocol string) (net.Conn, error) {
	connection, err := dial(ctx, n.httpAddr)
	if err != nil || !n.secure {
		return connection, err
	}
	secure := tls.Client(connection, anyCertificate(protocol))
	_ = connection.SetDeadline(time.Now().Add(rawWait))
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, connection.Close())
	}
	return secure, connection.SetDeadline(time.Time{})
}
