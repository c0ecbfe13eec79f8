package api

import (
	"net"
	"net/http"
	"strings"

	"github.com/holdfastdb/holdfast/session"
)

// checkHost refuses a request whose target is in absolute form (`GET http://host/path`) and names another host: it was
// meant for a proxy or for somebody else, and no client of ours sends such a target.
func (s *Server) checkHost(r *http.Request) error {
	named := strings.ToLower(r.URL.Host)
	name, port := splitHost(named)
	for _, own := range s.cfg.Hosts {
		own = strings.ToLower(own)
		if own == named || own == name {
			return nil
		}
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if ok {
		ip, ownPort := splitHost(local.String())
		if (port == ownPort || port == "" && (ownPort == "80" || ownPort == "443")) && (name == ip || name == "localhost") {
			return nil
		}
	}
	return session.ErrMisdirectedRequest.With("the request's target names another host")
}

func splitHost(hostPort string) (host, port string) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return strings.Trim(hostPort, "[]"), ""
	}
	return host, port
}

// checkHeadSize holds a head that net/http has parsed to the limit; the reader of HTTP/1 connections has counted already.
func checkHeadSize(r *http.Request) error {
	size := len(r.Method) + len(r.RequestURI) + len(r.Host) + 24
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + 4
		}
	}
	if size > MaxHeaderBytes {
		return session.ErrHeadersTooLarge.With("the head of the request may have at most %d bytes", MaxHeaderBytes)
	}
	return nil
}
