package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfastdb/holdfast/api"
	"github.com/holdfastdb/holdfast/cluster"
)

// traceQueue bounds the spans that wait to be sent; more are dropped, and nobody waits for them.
const traceQueue = 4096

// tracing gives requests their spans. It is what the packages below see of OpenTelemetry.
type tracing struct {
	tracer trace.Tracer
	close  func(context.Context) error
}

// openTracing sends spans to the collector at endpoint. A request whose caller says in its traceparent that it is traced
// is, one whose caller says that it is not is not; of all others it is a share of ratio.
func openTracing(node string, ratio float64, exporter sdktrace.SpanExporter) *tracing {
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "holdfast"), attribute.String("service.instance.id", node),
			attribute.String("service.version", versionText()),
		)),
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(traceQueue), sdktrace.WithExportTimeout(traceTimeout)),
	)
	return &tracing{tracer: provider.Tracer("github.com/holdfastdb/holdfast"), close: provider.Shutdown}
}

// Begin implements api.Tracer.
func (t *tracing) Begin(ctx context.Context, began time.Time, traceparent string) (context.Context, func(api.Traced)) {
	if traceparent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
	}
	ctx, span := t.tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(began))
	if !span.IsRecording() {
		return ctx, nil
	}
	return ctx, func(seen api.Traced) {
		span.SetName(seen.Method + " " + seen.Route)
		span.SetAttributes(
			attribute.String("http.request.method", seen.Method), attribute.String("http.route", seen.Route),
			attribute.Int("http.response.status_code", seen.Status), attribute.String("holdfast.request_id", seen.RequestID),
		)
		if seen.Problem != "" {
			span.SetAttributes(attribute.String("holdfast.problem", string(seen.Problem)))
		}
		if seen.Streamed {
			span.SetAttributes(attribute.Bool("holdfast.event_stream", true))
		}
		if seen.Status >= 500 {
			span.SetStatus(codes.Error, string(seen.Problem))
		}
		span.End()
	}
}

// clusterTracing is tracing as package cluster sees it.
type clusterTracing struct{ tracer trace.Tracer }

var (
	_ api.Tracer     = (*tracing)(nil)
	_ cluster.Tracer = clusterTracing{}
)

func (t clusterTracing) Traced(ctx context.Context) bool {
	return trace.SpanFromContext(ctx).IsRecording()
}

func (t clusterTracing) Begin(ctx context.Context, name string) (context.Context, func(error)) {
	ctx, span := t.tracer.Start(ctx, name)
	return ctx, func(err error) {
		failSpan(span, err)
		span.End()
	}
}

func (t clusterTracing) Record(ctx context.Context, s cluster.Span) {
	_, span := t.tracer.Start(ctx, s.Name, trace.WithTimestamp(s.Began))
	if s.Commands > 0 {
		span.SetAttributes(attribute.Int("holdfast.batch_commands", s.Commands))
	}
	if s.Node != "" {
		span.SetAttributes(attribute.String("holdfast.leader", s.Node))
	}
	failSpan(span, s.Err)
	span.End(trace.WithTimestamp(s.Ended))
}

// failSpan marks a span as failed, by a code alone: the text of an error may quote what a caller sent.
func failSpan(span trace.Span, err error) {
	if err == nil {
		return
	}
	reason := "failed"
	if known, ok := errors.AsType[interface {
		error
		Unavailable() string
	}](err); ok {
		reason = known.Unavailable()
	}
	span.SetStatus(codes.Error, reason)
}

// openTracing does nothing without --trace-endpoint.
func (s *Server) openTracing() error {
	if s.cfg.TraceEndpoint == "" {
		return nil
	}
	exporter := newOTLP(s.cfg.TraceEndpoint, s.log.With("component", "tracing"))
	for _, c := range []prometheus.Counter{exporter.sent, exporter.lost} {
		if err := s.registry.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	s.tracing = openTracing(s.cfg.NodeID, s.cfg.TraceRatio, exporter)
	s.opened("tracing", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), traceGoodbye)
		defer cancel()
		if err := s.tracing.close(ctx); err != nil {
			s.log.Warn("the last spans could not be sent", "error", err) // no reason to call the stop a failure
		}
		return nil
	})
	return nil
}

func (c Config) validateTracing() error {
	if !(c.TraceRatio >= 0 && c.TraceRatio <= 1) {
		return fmt.Errorf("trace-ratio %v: want 0 to 1", c.TraceRatio)
	}
	if c.TraceEndpoint == "" {
		return nil
	}
	u, err := url.Parse(c.TraceEndpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("trace-endpoint: want the base URL of an OTLP collector, such as http://127.0.0.1:4318")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("trace-endpoint: want a URL without user, query and fragment, such as http://127.0.0.1:4318")
	}
	return nil
}
