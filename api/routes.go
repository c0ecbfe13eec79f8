package api

import (
	"net/http"
	"slices"

	"github.com/julienschmidt/httprouter"

	"github.com/holdfastdb/holdfast/session"
)

// route is one method of one path.
type route struct {
	method, path string // the path with a trailing slash if both forms are served
	handle       func(*Server, *call) error
	writes       bool // a cookie-borne call of it passes the cross-origin check
	endsSession  bool // a session token sent along is ended, not acted for
	probe        bool // asked again and again by a balancer: its 503 is news for that one, none for the log
	metrics      *routeMetrics
}

// routeTable is every call of the public surface. httprouter cannot hold /api/sessions/:id beside
// /api/sessions/current/, hence by-id.
func routeTable() []*route {
	return []*route{
		{method: "POST", path: "/api/sessions/create/", handle: (*Server).create, writes: true, endsSession: true},
		{method: "GET", path: "/api/sessions/current/", handle: (*Server).current},
		{method: "PATCH", path: "/api/sessions/current/", handle: (*Server).patchCurrent, writes: true},
		{method: "DELETE", path: "/api/sessions/current/", handle: (*Server).deleteCurrent, writes: true},
		{method: "POST", path: "/api/sessions/refresh/", handle: (*Server).refresh, writes: true},
		{method: "GET", path: "/api/sessions/", handle: (*Server).list},
		{method: "PATCH", path: "/api/sessions/", handle: (*Server).patchUser, writes: true},
		{method: "POST", path: "/api/sessions/invalidate-all/", handle: (*Server).invalidateAll, writes: true},
		{method: "GET", path: "/api/sessions/by-id/:id/", handle: (*Server).byID},
		{method: "PATCH", path: "/api/sessions/by-id/:id/", handle: (*Server).patchByID, writes: true},
		{method: "DELETE", path: "/api/sessions/by-id/:id/", handle: (*Server).deleteByID, writes: true},
		{method: "GET", path: "/api/sessions/events/", handle: (*Server).ownEvents},
		{method: "GET", path: "/api/sessions/current/events/", handle: (*Server).followCurrent},
		{method: "GET", path: "/api/events/", handle: (*Server).allEvents},
		{method: "POST", path: "/api/introspect/", handle: (*Server).introspect},
		{method: "POST", path: "/api/backchannel-logout/", handle: (*Server).backchannelLogout},
		{method: "GET", path: "/api/stats/", handle: (*Server).stats},

		{method: "GET", path: "/cluster/status/", handle: (*Server).clusterStatus},
		{method: "POST", path: "/cluster/nodes/:id/promote/", handle: changeMember(ActionPromote), writes: true},
		{method: "POST", path: "/cluster/nodes/:id/demote/", handle: changeMember(ActionDemote), writes: true},
		{method: "POST", path: "/cluster/nodes/:id/drain/", handle: changeMember(ActionDrain), writes: true},
		{method: "DELETE", path: "/cluster/nodes/:id/", handle: changeMember(ActionRemove), writes: true},
		{method: "POST", path: "/cluster/transfer-leadership/", handle: (*Server).transferLeadership, writes: true},
		{method: "POST", path: "/cluster/key/:step/", handle: (*Server).rotateKey, writes: true},
		{method: "POST", path: "/cluster/sweep/", handle: (*Server).sweep, writes: true},
		{method: "GET", path: "/cluster/snapshot/", handle: (*Server).saveSnapshot},
		{method: "PUT", path: "/cluster/snapshot/", handle: (*Server).restoreSnapshot, writes: true},

		{method: "GET", path: "/livez/", handle: (*Server).livez, probe: true},
		{method: "GET", path: "/readyz/", handle: (*Server).readyz, probe: true},
		{method: "GET", path: "/leaderz/", handle: (*Server).leaderz, probe: true},
		{method: "GET", path: "/metrics/", handle: (*Server).metricsPage},
		{method: "GET", path: "/openapi.json/", handle: (*Server).openAPI},
		{method: "GET", path: "/errors/:code/", handle: (*Server).errorPage},
	}
}

// routes finds the route of a request.
type routes struct {
	router  *httprouter.Router
	methods []string
	unknown *route // stands for requests that no route takes
}

// newRoutes registers every route under both slash forms, and HEAD wherever there is GET (net/http drops the body). The
// router only looks up: its redirects would answer before our checks, and its answers are no problem documents.
func newRoutes(table []*route) *routes {
	router := httprouter.New()
	router.RedirectTrailingSlash, router.RedirectFixedPath = false, false
	router.HandleMethodNotAllowed, router.HandleOPTIONS = false, false
	r := &routes{router: router, unknown: &route{method: "other", path: "unknown"}}
	for _, rt := range table {
		methods := []string{rt.method}
		if rt.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		// The router gives back functions only, so the function of a route says which one it is.
		match := func(w http.ResponseWriter, _ *http.Request, params httprouter.Params) {
			c := w.(*call)
			c.route, c.params = rt, params
		}
		for _, method := range methods {
			router.Handle(method, rt.path, match)
			router.Handle(method, rt.path[:len(rt.path)-1], match)
			if !slices.Contains(r.methods, method) {
				r.methods = append(r.methods, method)
			}
		}
	}
	slices.Sort(r.methods)
	return r
}

// find sets the call's route, or says why there is none. Paths are matched as they are, never cleaned: `//`, `..` and
// escapes of characters that need none name nothing here.
func (r *routes) find(c *call) error {
	address := c.r.URL
	if address.RawPath == "" {
		if match, params, _ := r.router.Lookup(c.r.Method, address.Path); match != nil {
			match(c, nil, params)
			return nil
		}
		if allowed := r.allowed(address.Path); allowed != "" {
			c.set(headerAllow, allowed)
			return session.ErrMethodNotAllowed.With("%s is not possible here, only %s", c.r.Method, allowed)
		}
	}
	return session.ErrNotFound.With("there is nothing at this address")
}

func (r *routes) allowed(path string) string {
	allowed := ""
	for _, method := range r.methods {
		if match, _, _ := r.router.Lookup(method, path); match != nil {
			if allowed != "" {
				allowed += ", "
			}
			allowed += method
		}
	}
	return allowed
}
