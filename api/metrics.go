package api

import (
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfastdb/holdfast/session"
)

// metrics are the series of HTTP.
type metrics struct {
	inFlight atomic.Int64
	streams  atomic.Int64
	requests *prometheus.CounterVec
	limited  *prometheus.CounterVec
	problems map[session.Code]prometheus.Counter
}

// routeMetrics are the series of one route, looked up once: the labels of a vector cost as much as a read.
type routeMetrics struct {
	durations [2]prometheus.Observer                     // of the route's own method, and of HEAD
	counters  [2][500]atomic.Pointer[prometheus.Counter] // by status-100
}

func newMetrics(registerer prometheus.Registerer, table []*route, connections func() int64) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_http_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "code"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_http_rate_limited_total", Help: "Requests refused with 429, by the limit: requests, logins or bad_tokens of one address.",
		}, []string{"limit"}),
		problems: make(map[session.Code]prometheus.Counter),
	}
	for by := range complaints {
		m.limited.WithLabelValues(string(by))
	}
	problems := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_http_problems_total", Help: "Problems answered, by the code in their body (see /errors/ for what each means).",
	}, []string{"problem"})
	for code := range failures {
		m.problems[code] = problems.WithLabelValues(string(code))
	}
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "holdfast_http_request_duration_seconds", Help: "Seconds from the end of a request's head to its answer.",
		Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"route", "method"})
	inFlight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_http_requests_in_flight", Help: "Requests being answered now.",
	}, func() float64 { return float64(m.inFlight.Load()) })
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_http_connections", Help: "Open client connections.",
	}, func() float64 { return float64(connections()) })
	streams := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_http_event_streams", Help: "Open event streams.",
	}, func() float64 { return float64(m.streams.Load()) })
	for _, rt := range table {
		rt.metrics = &routeMetrics{}
		for i, method := range rt.labels() {
			rt.metrics.durations[i] = durations.WithLabelValues(rt.path, method)
		}
	}
	var faults []error
	for _, collector := range []prometheus.Collector{m.requests, m.limited, problems, durations, inFlight, open, streams} {
		faults = append(faults, registerer.Register(collector))
	}
	return m, errors.Join(faults...)
}

// labels are the method labels of a route; unknown methods never become labels, or a caller could make series without
// end.
func (r *route) labels() []string {
	if r.method == "GET" {
		return []string{"GET", "HEAD"}
	}
	return []string{r.method}
}

func (m *metrics) observe(c *call) {
	if c.route == nil || c.route.metrics == nil || c.status < 100 || c.status > 599 {
		return
	}
	if counter := m.problems[c.code]; counter != nil {
		counter.Inc()
	}
	which := 0
	if c.route.method == "GET" && c.r.Method == "HEAD" {
		which = 1
	}
	if !c.streamed { // how long somebody has listened is no duration of an answer
		c.route.metrics.durations[which].Observe(time.Since(c.began).Seconds())
	}
	m.count(c.route, which, c.status)
}

// count counts one answer, also one to what never became a request.
func (m *metrics) count(rt *route, which, status int) {
	slot := &rt.metrics.counters[which][status-100]
	counter := slot.Load()
	if counter == nil {
		made := m.requests.WithLabelValues(rt.path, rt.labels()[which], strconv.Itoa(status))
		counter = &made
		slot.Store(counter)
	}
	(*counter).Inc()
}
