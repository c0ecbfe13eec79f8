package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/holdfastdb/holdfast/session"
)

// clusterStatus answers GET /cluster/status.
func (s *Server) clusterStatus(c *call) error {
	if err := c.operators(); err != nil {
		return err
	}
	status, err := s.cluster.Status(&c.ctx)
	if err != nil {
		return err
	}
	if status.Members == nil {
		status.Members = []Member{}
	}
	return c.answerJSON(http.StatusOK, status)
}

// sweep answers POST /cluster/sweep.
func (s *Server) sweep(c *call) error {
	if err := c.operators(); err != nil {
		return err
	}
	outcome, err := s.sessions.Sweep(&c.ctx)
	if err != nil {
		return err
	}
	c.index = outcome.Index
	return c.answer(http.StatusOK, append(appendInt([]byte(`{"expired":`), int64(outcome.Count)), "}\n"...))
}

func (c *call) operators() error {
	who, err := c.identify()
	if err != nil {
		return err
	}
	return who.needOperator()
}

// livez answers as long as the process runs.
func (s *Server) livez(c *call) error {
	return c.answer(http.StatusOK, []byte(`{"status":"ok"}`+"\n"))
}

// readyAnswer is the body of GET /readyz.
type readyAnswer struct {
	Status string  `json:"status"`
	Checks []Check `json:"checks,omitempty"`
}

// readyz says whether this node may serve. A node that is draining says no before it stops listening; ?draincode=404 is
// for HAProxy, which takes a 404 as "no new sessions, but alive".
func (s *Server) readyz(c *call) error {
	drainCode, err := c.drainCode()
	if err != nil {
		return err
	}
	_, verbose, err := c.query("verbose")
	if err != nil {
		return err
	}
	checks := s.checks(&c.ctx)
	failed := slices.IndexFunc(checks, func(check Check) bool { return !check.OK })
	if failed < 0 {
		answer := readyAnswer{Status: "ok"}
		if verbose {
			answer.Checks = checks
		}
		return c.answerJSON(http.StatusOK, answer)
	}
	code, status := session.CodeStaleNode, http.StatusServiceUnavailable
	switch checks[failed].Name {
	case checkDraining:
		code, status = session.CodeDraining, drainCode
	case CheckDisk:
		code = session.CodeDiskLow
	}
	detail := "This node is not ready: " + checks[failed].Name
	if why := checks[failed].Detail; why != "" {
		detail += ": " + why
	}
	var extra []byte
	if verbose {
		extra = appendChecks(nil, checks)
	}
	c.problem(code, status, detail, extra)
	return nil
}

// Checks whose failure has a code of its own; any other means that the node is not fresh.
const (
	CheckDisk     = "disk"
	checkDraining = "draining"
)

// checks lists the node's checks, "draining" first: this listener may be stopping, or the node may, which is one thing
// to whoever asks.
func (s *Server) checks(ctx context.Context) []Check {
	checks := []Check{{Name: checkDraining, OK: !s.draining.Load()}}
	for _, check := range s.cluster.Ready(ctx) {
		if check.Name != checks[0].Name {
			checks = append(checks, check)
		} else if checks[0].OK {
			checks[0] = check
		}
	}
	return checks
}

func (c *call) drainCode() (int, error) {
	text, there, err := c.query("draincode")
	if err != nil || !there {
		return http.StatusServiceUnavailable, err
	}
	status, err := strconv.Atoi(text)
	if err != nil || status < 400 || status > 599 {
		return 0, session.ErrInvalidRequest.With("the parameter draincode must be a status from 400 to 599")
	}
	return status, nil
}

func appendChecks(dst []byte, checks []Check) []byte {
	dst = append(dst, `,"checks":[`...)
	for i, check := range checks {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(append(dst, `{"name":`...), check.Name)
		dst = strconv.AppendBool(append(dst, `,"ok":`...), check.OK)
		if check.Detail != "" {
			dst = appendString(append(dst, `,"detail":`...), check.Detail)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// leaderz answers 200 on the leader and 429 elsewhere, the status that load balancers know from other stores.
func (s *Server) leaderz(c *call) error {
	if s.cluster.IsLeader() {
		return c.answer(http.StatusOK, []byte(`{"leader":true}`+"\n"))
	}
	c.problem(codeNotLeader, http.StatusTooManyRequests, "Another node leads, or none does.", []byte(`,"leader":false`))
	return nil
}

// metricsPage answers GET /metrics, unless it lives on the admin address.
func (s *Server) metricsPage(c *call) error {
	if s.cfg.MetricsHandler == nil || s.cfg.MetricsOnAdmin {
		return session.ErrNotFound.With("there is nothing at this address")
	}
	s.cfg.MetricsHandler.ServeHTTP(c, c.r)
	return nil
}
