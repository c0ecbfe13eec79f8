package api

import (
	"net/http"
	"net/http/pprof"
)

// AdminHandler serves what operators want off the public address: /metrics, the health pages and /debug/pprof/. It asks
// for no key, so that it must only be served where nobody else can connect.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	if s.cfg.MetricsHandler != nil {
		mux.Handle("GET /metrics", s.cfg.MetricsHandler)
		mux.Handle("GET /metrics/{$}", s.cfg.MetricsHandler)
	}
	for _, path := range []string{"/livez", "/readyz", "/leaderz"} {
		mux.Handle(path, s.Handler())
		mux.Handle(path+"/{$}", s.Handler())
	}
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
