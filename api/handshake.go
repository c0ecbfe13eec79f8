package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// handshakes is a listener that finishes the TLS handshake before net/http sees a connection. What comes out is either
// HTTP/2, which net/http takes as it is, or HTTP/1, which is read through conn as plain connections are: smuggling needs
// no plain text.
//
//	accept ─▶ handshake (one goroutine each, bounded in time) ─▶ h2: *tls.Conn
//	                                                          └▶ else: *conn over it
type handshakes struct {
	net.Listener
	config   *tls.Config
	guard    func(refusal) []byte
	patience time.Duration
	log      *slog.Logger

	ready  chan net.Conn
	failed chan error
	life   context.Context
	end    context.CancelFunc

	running sync.WaitGroup // accept, and each handshake
	shaking sync.WaitGroup // each handshake
}

func newHandshakes(ln net.Listener, config *tls.Config, patience time.Duration, guard func(refusal) []byte, log *slog.Logger) *handshakes {
	h := &handshakes{
		Listener: ln, config: config, patience: patience, guard: guard, log: log,
		ready: make(chan net.Conn), failed: make(chan error),
	}
	h.life, h.end = context.WithCancel(context.Background())
	h.running.Go(h.accept)
	return h
}

// withProtocols is a configuration that offers HTTP/2 and HTTP/1.1, as net/http's own would.
func withProtocols(config *tls.Config) *tls.Config {
	config = config.Clone()
	for _, protocol := range []string{"h2", "http/1.1"} {
		if !slices.Contains(config.NextProtos, protocol) {
			config.NextProtos = append(config.NextProtos, protocol)
		}
	}
	return config
}

func (h *handshakes) accept() {
	for {
		raw, err := h.Listener.Accept()
		if err == nil {
			h.shaking.Add(1)
			h.running.Go(func() {
				defer h.shaking.Done()
				h.shake(raw)
			})
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			h.shaking.Wait() // net/http closes this listener at the error, and with it what is still at its handshake
		}
		select {
		case h.failed <- err: // net/http waits before it asks again
		case <-h.life.Done():
			return
		}
	}
}

// shake gives net/http a connection once it is secure, and says nothing to one that never gets there, but to a client
// that speaks HTTP without TLS.
func (h *handshakes) shake(raw net.Conn) {
	ctx, cancel := context.WithTimeout(h.life, h.patience)
	defer cancel()
	secure := tls.Server(raw, h.config)
	if err := secure.HandshakeContext(ctx); err != nil {
		if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok && plain.Conn != nil && looksLikeHTTP(plain.RecordHeader) {
			_ = plain.Conn.SetWriteDeadline(time.Now().Add(lingerTime))
			_, _ = plain.Conn.Write(h.guard(refusedPlain))
		}
		h.log.Debug("tls handshake failed", "peer", raw.RemoteAddr().String(), "error", err)
		raw.Close()
		return
	}
	var out net.Conn = secure
	if secure.ConnectionState().NegotiatedProtocol != "h2" {
		out = &conn{stream: secure, guard: h.guard}
	}
	select {
	case h.ready <- out:
	case <-h.life.Done():
		raw.Close()
	}
}

// looksLikeHTTP tells the beginning of a request from that of a TLS record.
func looksLikeHTTP(head [5]byte) bool {
	for _, method := range []string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET"} {
		if strings.EqualFold(string(head[:]), method) {
			return true
		}
	}
	return false
}

func (h *handshakes) Accept() (net.Conn, error) {
	select {
	case c := <-h.ready:
		return c, nil
	case err := <-h.failed:
		return nil, err
	case <-h.life.Done():
		return nil, net.ErrClosed
	}
}

// Close ends the handshakes under way and waits for them.
func (h *handshakes) Close() error {
	h.end()
	err := h.Listener.Close()
	h.running.Wait()
	return err
}
