package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	traceTimeout = 10 * time.Second
	traceGoodbye = 2 * time.Second
	// traceComplaint lies between two lines of the log about a collector that does not take spans.
	traceComplaint = time.Minute
)

// otlp sends spans by OTLP over HTTP, in its JSON encoding (OpenTelemetry Protocol 1.x, "OTLP/HTTP Request"). The
// library's own exporter brings grpc and protobuf into the program; see docs/decisions/0037. Spans that a collector
// does not take are lost, and counted.
type otlp struct {
	url    string
	client *http.Client
	log    *slog.Logger

	sent, lost prometheus.Counter // spans

	mu         sync.Mutex
	complained time.Time
}

func newOTLP(endpoint string, log *slog.Logger) *otlp {
	return &otlp{
		url: strings.TrimSuffix(endpoint, "/") + "/v1/traces", log: log,
		client: &http.Client{
			Timeout: traceTimeout,
			// A collector that sends spans elsewhere is no collector.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_trace_spans_sent_total", Help: "Spans that the collector of --trace-endpoint has taken.",
		}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_trace_spans_lost_total", Help: "Spans that the collector of --trace-endpoint has not taken.",
		}),
	}
}

// ExportSpans implements sdktrace.SpanExporter. It says itself what went wrong: the SDK would write it to stderr.
func (o *otlp) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := o.post(ctx, spans); err != nil {
		o.lost.Add(float64(len(spans)))
		o.complain(err)
		return nil
	}
	o.sent.Add(float64(len(spans)))
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (o *otlp) Shutdown(context.Context) error {
	o.client.CloseIdleConnections()
	return nil
}

func (o *otlp) post(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	body, err := json.Marshal(encodeSpans(spans))
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := o.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // so that the connection can be used again
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answers %s", response.Status)
	}
	return nil
}

func (o *otlp) complain(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.Sub(o.complained) > traceComplaint {
		o.complained = now
		o.log.Warn("spans could not be sent, and are lost", "error", err)
	}
}

// The message ExportTraceServiceRequest, as far as it is used: names are lowerCamelCase, ids in hex, 64-bit integers as
// text.
type (
	otlpRequest struct {
		ResourceSpans []otlpResource `json:"resourceSpans"`
	}
	otlpResource struct {
		Resource   otlpAttributes `json:"resource"`
		ScopeSpans []otlpScope    `json:"scopeSpans"`
	}
	otlpAttributes struct {
		Attributes []otlpPair `json:"attributes"`
	}
	otlpScope struct {
		Scope struct {
			Name string `json:"name"`
		} `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpSpan struct {
		TraceID    string     `json:"traceId"`
		SpanID     string     `json:"spanId"`
		ParentID   string     `json:"parentSpanId,omitempty"`
		Name       string     `json:"name"`
		Kind       int        `json:"kind"`
		Start      string     `json:"startTimeUnixNano"`
		End        string     `json:"endTimeUnixNano"`
		Attributes []otlpPair `json:"attributes,omitempty"`
		Status     otlpStatus `json:"status"`
	}
	otlpStatus struct {
		Code    int    `json:"code,omitempty"` // 2 is an error
		Message string `json:"message,omitempty"`
	}
	otlpPair struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpValue struct {
		Text    *string `json:"stringValue,omitempty"`
		Integer *string `json:"intValue,omitempty"`
		Bool    *bool   `json:"boolValue,omitempty"`
	}
)

// encodeSpans packs spans of one provider, so of one resource and one scope.
func encodeSpans(spans []sdktrace.ReadOnlySpan) otlpRequest {
	scope := otlpScope{}
	resource := otlpResource{}
	for _, s := range spans {
		scope.Scope.Name = s.InstrumentationScope().Name
		resource.Resource.Attributes = encodeAttributes(s.Resource().Attributes())
		scope.Spans = append(scope.Spans, encodeSpan(s))
	}
	resource.ScopeSpans = []otlpScope{scope}
	return otlpRequest{ResourceSpans: []otlpResource{resource}}
}

func encodeSpan(s sdktrace.ReadOnlySpan) otlpSpan {
	nanos := func(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }
	span := otlpSpan{
		TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(), Name: s.Name(),
		Kind: 1, Start: nanos(s.StartTime()), End: nanos(s.EndTime()), Attributes: encodeAttributes(s.Attributes()),
	}
	if s.SpanKind() == trace.SpanKindServer {
		span.Kind = 2
	}
	if s.Parent().HasSpanID() {
		span.ParentID = s.Parent().SpanID().String()
	}
	if s.Status().Code == codes.Error {
		span.Status = otlpStatus{Code: 2, Message: s.Status().Description}
	}
	return span
}

func encodeAttributes(all []attribute.KeyValue) []otlpPair {
	pairs := make([]otlpPair, 0, len(all))
	for _, a := range all {
		pair := otlpPair{Key: string(a.Key)}
		switch a.Value.Type() {
		case attribute.INT64:
			text := strconv.FormatInt(a.Value.AsInt64(), 10)
			pair.Value.Integer = &text
		case attribute.BOOL:
			value := a.Value.AsBool()
			pair.Value.Bool = &value
		default:
			text := a.Value.String()
			pair.Value.Text = &text
		}
		pairs = append(pairs, pair)
	}
	return pairs
}
