package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// ClientOptions of a Client; zero values mean the defaults.
type ClientOptions struct {
	// MaxBody is the greatest body of a request and of an answer that is taken,
	// in bytes. Default DefaultMaxBody.
	MaxBody int
	// MaxWaiting calls may wait for one peer's answers; more fail with ErrBusy.
	// Default 4096.
	MaxWaiting int
	// DialTimeout bounds one try to connect, greeting included. Default 2 s.
	DialTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause after a failed try, in which
	// calls fail at once. Defaults 20 ms and 250 ms.
	BackoffMin, BackoffMax time.Duration
	// SilenceAfter: if a call's deadline passes, and it was sent at least this
	// long ago, and nothing at all has come since, its connection is given up.
	// Default 500 ms.
	SilenceAfter time.Duration
	Logger       *slog.Logger
}

func (o ClientOptions) withDefaults() ClientOptions {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&o.DialTimeout, 2*time.Second)
	set(&o.BackoffMin, 20*time.Millisecond)
	set(&o.BackoffMax, 250*time.Millisecond)
	set(&o.SilenceAfter, 500*time.Millisecond)
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 4096
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Client makes calls to other nodes: any number at a time, over one connection a
// peer, which is opened by the first call and again after it broke. It is safe
// for concurrent use.
type Client struct {
	network  Network
	protocol string
	o        ClientOptions

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	peers  map[string]*peer
}

// NewClient makes a client; it connects to nobody yet.
func NewClient(n Network, protocol string, o ClientOptions) *Client {
	c := &Client{network: n, protocol: protocol, o: o.withDefaults(), peers: make(map[string]*peer)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// peer is the way to one node.
type peer struct {
	id string
	// The rest is guarded by Client.mu.
	conn *clientConn
	// dialling is the try under way, nil if there is none.
	dialling *attempt
	failure  error
	backoff  time.Duration
	retryAt  time.Time
}

// attempt is a try to connect that any number of calls wait for. conn and err
// are set before done is closed.
type attempt struct {
	done chan struct{}
	conn *clientConn
	err  error
}

// Call sends a request to the node id and waits for the answer, or for the end
// of ctx, whose deadline travels along. The body is not copied: it must not be
// changed, not even after a return. The answer is the caller's.
//
// An error is ErrNotSent (the handler did not run and will not), ErrUnknown (it
// may), or the *RemoteError that the other side answered with.
func (c *Client) Call(ctx context.Context, id string, method uint8, body []byte) ([]byte, error) {
	if len(body) > c.o.MaxBody {
		return nil, notSent(id, ErrTooLarge)
	}
	conn, err := c.connect(ctx, id)
	if err != nil {
		return nil, notSent(id, err)
	}
	return conn.call(ctx, method, body)
}

// connect finds the live connection to id, or makes one.
func (c *Client) connect(ctx context.Context, id string) (*clientConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	p := c.peers[id]
	if p == nil {
		p = &peer{id: id}
		c.peers[id] = p
	}
	if conn := p.conn; conn != nil {
		if conn.live() {
			c.mu.Unlock()
			return conn, nil
		}
		p.conn = nil
	}
	if p.dialling == nil {
		if wait := time.Until(p.retryAt); wait > 0 {
			err := p.failure
			c.mu.Unlock()
			return nil, fmt.Errorf("no connection for the next %s: %w", wait.Round(time.Millisecond), err)
		}
		a := &attempt{done: make(chan struct{})}
		p.dialling = a
		c.tasks.Go(func() { c.dial(p, a) })
	}
	a := p.dialling
	c.mu.Unlock()
	select {
	case <-a.done:
		return a.conn, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// dial makes one try; it belongs to the client, not to the call that began it.
func (c *Client) dial(p *peer, a *attempt) {
	ctx, cancel := context.WithTimeout(c.ctx, c.o.DialTimeout)
	defer cancel()
	conn, err := c.open(ctx, p.id)

	c.mu.Lock()
	defer c.mu.Unlock()
	p.dialling = nil
	if err == nil && c.closed {
		conn.fail(ErrClosed)
		err = ErrClosed
	}
	if err != nil {
		p.backoff = min(max(2*p.backoff, c.o.BackoffMin), c.o.BackoffMax)
		p.retryAt = time.Now().Add(p.backoff)
		p.failure = err
		a.err = err
	} else {
		p.backoff, p.retryAt, p.failure = 0, time.Time{}, nil
		p.conn, a.conn = conn, conn
	}
	close(a.done)
}

func (c *Client) open(ctx context.Context, id string) (*clientConn, error) {
	conn, err := c.network.Dial(ctx, id, c.protocol)
	if err != nil {
		return nil, err
	}
	// The greeting comes only from a server that let this node in.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	h, err := readHello(conn)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, errors.Join(err, ctx.Err())
	}
	return c.start(id, conn, h), nil
}

// Close fails all waiting calls, ends all connections and waits for the
// client's goroutines. It may be called several times.
func (c *Client) Close() error {
	c.cancel()
	c.mu.Lock()
	c.closed = true
	for _, p := range c.peers {
		if p.conn != nil {
			p.conn.fail(ErrClosed)
		}
	}
	c.mu.Unlock()
	c.tasks.Wait()
	return nil
}
