package api

import (
	"strings"
	"testing"
)

func TestEveryUseOfAnOperatorKeyIsInTheAuditLog(t *testing.T) {
	n := newNode(t, func(c *Config) { c.AccessLog = AccessLogErrors })
	n.do("GET", "/cluster/status/", "", bearer(n.operator)).want(200)
	n.do("GET", "/api/stats/", "", bearer(n.operator)).want(200)
	n.do("GET", "/api/sessions/by-id/nothing/", "", bearer(n.operator)).want(404)
	n.do("GET", "/api/stats/", "", bearer(n.service)).want(200)
	n.do("GET", "/cluster/status/", "", bearer(n.service)).want(403)
	var audited []string
	for line := range strings.Lines(n.log.String()) {
		if strings.Contains(line, `"msg":"audit"`) {
			audited = append(audited, line)
		}
	}
	for i, want := range []string{`"path":"/cluster/status/"`, `"path":"/api/stats/"`, `"status":404`} {
		if len(audited) != 3 || !strings.Contains(audited[i], want) || !strings.Contains(audited[i], `"key":"ops"`) {
			t.Fatalf("the audit log is %q", audited)
		}
	}
}
