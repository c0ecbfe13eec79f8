package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/api/limit"
)

// maxHTTP2HeadBytes is what net/http reads of a head of HTTP/2, which we see only once it is parsed; the handler then
// holds it to MaxHeaderBytes. A head above this is refused by net/http itself, without a problem document.
const maxHTTP2HeadBytes = 64 << 10

// Server is the public HTTP surface of one node.
type Server struct {
	cfg      Config
	sessions Sessions
	cluster  Cluster
	log      *slog.Logger

	routes     *routes
	metrics    *metrics
	cookies    cookieJar
	origins    *http.CrossOriginProtection
	proxies    proxies
	limits     rates
	devices    *deviceNames
	nodeHeader []string
	logAll     bool

	http       http.Server
	draining   atomic.Bool
	stopping   atomic.Bool     // the listeners are closed
	streams    context.Context // ends with Drain: a stream would hold up a shutdown
	endStreams context.CancelFunc

	mu        sync.Mutex
	listeners []*listener
}

// New makes a server. It starts nothing: Serve does.
func New(cfg Config, sessions Sessions, cluster Cluster) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if sessions == nil || cluster == nil {
		return nil, errors.New("api: sessions and cluster are needed")
	}
	cfg.setDefaults()
	devices, err := newDeviceNames()
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s := &Server{
		cfg: cfg, sessions: sessions, cluster: cluster, log: cfg.Logger,
		cookies: newCookieJar(cfg.InsecureCookies), origins: http.NewCrossOriginProtection(),
		proxies: cfg.TrustedProxies, devices: devices, nodeHeader: []string{cfg.NodeID},
		logAll: cfg.AccessLog == AccessLogAll,
	}
	s.streams, s.endStreams = context.WithCancel(context.Background())
	for _, origin := range slices.Concat(cfg.TrustedOrigins, cfg.CORSOrigins) {
		if err := s.origins.AddTrustedOrigin(origin); err != nil {
			return nil, err // Validate has found it already
		}
	}
	if cfg.RatePerAddress > 0 {
		s.limits.addresses = limit.NewAddresses(cfg.RatePerAddress, cfg.RateBurst)
	}
	if cfg.CreateRate > 0 {
		s.limits.creates = limit.NewAddresses(cfg.CreateRate, rateBurst(cfg.CreateRate))
	}
	if cfg.BadTokenRate > 0 {
		s.limits.doubts = limit.NewAddresses(cfg.BadTokenRate, rateBurst(cfg.BadTokenRate))
	}
	table := routeTable()
	s.routes = newRoutes(table)
	if s.metrics, err = newMetrics(cfg.Metrics, append(table, s.routes.unknown), s.connections); err != nil {
		return nil, fmt.Errorf("api: register metrics: %w", err)
	}
	if err := cfg.Metrics.Register(newReadyCollector(s)); err != nil {
		return nil, fmt.Errorf("api: register metrics: %w", err)
	}
	s.http = http.Server{
		Handler:                      s.Handler(),
		DisableGeneralOptionsHandler: true, // OPTIONS * is answered as any other
		ReadHeaderTimeout:            cfg.HeaderTimeout,
		ReadTimeout:                  cfg.ReadTimeout,
		WriteTimeout:                 cfg.WriteTimeout,
		IdleTimeout:                  cfg.IdleTimeout,
		ConnState:                    connState,
		MaxHeaderBytes:               maxHTTP2HeadBytes,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: 128},
		ErrorLog:                     slog.NewLogLogger(netHTTPLog{cfg.Logger.Handler()}, slog.LevelWarn),
	}
	if cfg.TLS != nil {
		s.http.TLSConfig = withProtocols(cfg.TLS) // net/http must see that there is HTTP/2
	}
	return s, nil
}

// Handler is the whole public surface, for tests and for servers of the caller's own. What only a connection can see
// (two body lengths, bare line feeds, folded headers) is refused by Serve alone.
func (s *Server) Handler() http.Handler {
	return withCORS(s.cfg.CORSOrigins, http.HandlerFunc(s.serve))
}

// Serve answers on ln, over TLS if configured, until Shutdown, and closes it. It returns nil after a Shutdown.
func (s *Server) Serve(ln net.Listener) error {
	limited := newListener(ln, s.cfg.MaxConns)
	s.mu.Lock()
	s.listeners = append(s.listeners, limited)
	s.mu.Unlock()
	var err error
	if s.cfg.TLS != nil {
		err = s.http.Serve(newHandshakes(limited, s.http.TLSConfig, s.cfg.HeaderTimeout, s.wireProblem, s.log))
	} else {
		limited.guard = s.wireProblem
		err = s.http.Serve(limited)
	}
	if errors.Is(err, http.ErrServerClosed) || s.stopping.Load() && errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", ln.Addr(), err)
}

// Drain makes /readyz answer 503 and closes each connection after its next answer, so that the balancer and its clients
// turn elsewhere. Requests go on being served, event streams end.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.endStreams()
}

// Shutdown stops listening and waits, until ctx ends, for the requests under way; then it closes what is left. On Linux
// every connection that was made is answered: see lastCall.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.lastCall(ctx)
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were still under way: %w", err), s.http.Close())
	}
	return err
}

// connections counts the open ones.
func (s *Server) connections() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open int64
	for _, ln := range s.listeners {
		open += ln.open.Load()
	}
	return open
}

// serve is the way of every request: one call, one route, one handler, which answers or returns why not.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	c := &call{s: s, w: w, r: r, began: began}
	c.ctx.parent, c.ctx.at = r.Context(), began.Add(s.cfg.RequestTimeout)
	c.drawID()
	s.metrics.inFlight.Add(1)
	defer s.finish(c)
	err := s.admit(c)
	if s.cfg.Tracer != nil {
		s.trace(c)
	}
	if err == nil {
		err = c.route.handle(s, c)
	}
	if err != nil {
		c.fail(err)
	}
}

// finish closes a call: a panic becomes a 500 that is logged with its stack, and the node goes on.
func (s *Server) finish(c *call) {
	defer s.metrics.inFlight.Add(-1)
	defer c.ctx.end()
	broken := recover()
	if broken != nil && broken != http.ErrAbortHandler {
		c.fail(fmt.Errorf("panic: %v\n%s", broken, debug.Stack()))
	}
	s.metrics.observe(c)
	s.access(c)
	if c.endSpan != nil {
		c.endSpan(c.traced())
	}
	if broken != nil && (broken == http.ErrAbortHandler || c.size == 0) {
		panic(http.ErrAbortHandler) // half an answer must not look whole
	}
}

// admit makes the checks that come before any handler, and finds the route.
func (s *Server) admit(c *call) error {
	c.route = s.routes.unknown
	if c.r.URL.Host != "" {
		if err := s.checkHost(c.r); err != nil {
			return err
		}
	}
	if err := s.routes.find(c); err != nil {
		return err
	}
	if c.r.TLS != nil {
		return checkHeadSize(c.r)
	}
	return nil
}

func (c *call) routeName() string {
	if c.route == nil {
		return "unknown"
	}
	return c.route.path
}
