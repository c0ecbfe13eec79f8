package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/holdfastdb/holdfast/api"
)

// probed is what one node shows to anybody: its health pages, its metrics, its certificate.
type probed struct {
	addr  string
	id    string // as the node names itself; empty if it does not answer
	fault error  // why it is not known to live; nil if it does
	ready bool
	leads bool
	// failing are the checks of /readyz that say no.
	failing []api.Check
	// metrics are nil where the node does not show them at this address (--admin-addr).
	metrics map[string]*dto.MetricFamily
	// tlsUntil is when the certificate of an https address ends; zero for http.
	tlsUntil time.Time
	// clockAhead is how far the node's clock is before this machine's, known to half a second and half the round trip:
	// the header Date has whole seconds.
	clockAhead, clockError time.Duration
}

// probe looks at every address at once. The answers are in the order of addrs.
func probe(ctx context.Context, addrs []string) []probed {
	seen := make([]probed, len(addrs))
	var looking sync.WaitGroup
	for i, addr := range addrs {
		looking.Go(func() { seen[i] = probeOne(ctx, addr) })
	}
	looking.Wait()
	return seen
}

func probeOne(ctx context.Context, addr string) probed {
	p := probed{addr: addr}
	base, err := baseURL(addr)
	if err != nil {
		p.fault = err
		return p
	}
	sent := time.Now()
	live, _, err := fetch(ctx, base+"/livez")
	if err != nil {
		p.fault = fmt.Errorf("%s does not answer: %w", addr, err)
		return p
	}
	p.id = live.Header.Get("Holdfast-Node")
	p.clock(live.Header.Get("Date"), sent, time.Now())
	if live.StatusCode != http.StatusOK {
		p.fault = fmt.Errorf("%s answers /livez with %d", addr, live.StatusCode)
		return p
	}
	if live.TLS != nil && len(live.TLS.PeerCertificates) > 0 {
		p.tlsUntil = live.TLS.PeerCertificates[0].NotAfter
	}
	p.health(ctx, base)
	if metrics, body, err := fetch(ctx, base+"/metrics"); err == nil && metrics.StatusCode == http.StatusOK {
		parser := expfmt.NewTextParser(model.LegacyValidation)
		// Half of the metrics is none: a figure that is missing must not look well.
		if p.metrics, err = parser.TextToMetricFamilies(body); err != nil {
			p.metrics = nil
		}
	}
	return p
}

// name is the node's own, or its address.
func (p *probed) name() string { return orElse(p.id, p.addr) }

// health asks whether the node may serve and whether it leads. One that does not answer is not ready.
func (p *probed) health(ctx context.Context, base string) {
	ready, body, err := fetch(ctx, base+"/readyz?verbose")
	if err != nil {
		p.failing = []api.Check{{Name: "readyz", Detail: err.Error()}}
		return
	}
	p.ready = ready.StatusCode == http.StatusOK
	var answer struct{ Checks []api.Check }
	if err := json.NewDecoder(body).Decode(&answer); err == nil {
		for _, c := range answer.Checks {
			if !c.OK {
				p.failing = append(p.failing, c)
			}
		}
	}
	leads, _, err := fetch(ctx, base+"/leaderz")
	p.leads = err == nil && leads.StatusCode == http.StatusOK
}

// clock compares the answer's Date with this machine's clock half way between question and answer.
func (p *probed) clock(date string, sent, got time.Time) {
	at, err := http.ParseTime(date)
	if err != nil {
		p.clockError = -1
		return
	}
	half := got.Sub(sent) / 2
	p.clockAhead = at.Add(time.Second / 2).Sub(sent.Add(half))
	p.clockError = half + time.Second/2
}

// most and least are over all series of a metric; ok is false without one, or where all are no numbers.
func (p *probed) most(name string) (value float64, ok bool)  { return p.pick(name, math.Max) }
func (p *probed) least(name string) (value float64, ok bool) { return p.pick(name, math.Min) }

func (p *probed) pick(name string, better func(a, b float64) float64) (value float64, ok bool) {
	for _, m := range p.metrics[name].GetMetric() {
		next := m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue() // one of them is there
		if math.IsNaN(next) {
			continue
		}
		if ok {
			next = better(value, next)
		}
		value, ok = next, true
	}
	return value, ok
}

// fetch gets a page that needs no key. The body is whole, or its error is returned.
func fetch(ctx context.Context, page string) (*http.Response, io.Reader, error) {
	return fetchBy(ctx, askClient, page)
}

func fetchBy(ctx context.Context, client *http.Client, page string) (*http.Response, io.Reader, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return nil, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := readAtMost(response.Body, maxAnswer)
	return response, body, err
}
