package api

import (
	"fmt"
	"html"

	"github.com/holdfastdb/holdfast/session"
)

// errorPage serves what a problem's type points to: a page for people.
func (s *Server) errorPage(c *call) error {
	code := session.Code(c.params.ByName("code"))
	look, ok := failures[code]
	if !ok {
		return session.ErrNotFound.With("there is no error of this code")
	}
	h := c.w.Header()
	h[headerContentType] = []string{"text/html; charset=utf-8"}
	return c.send(200, fmt.Appendf(nil, `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>%[1]s</title></head>
<body><h1>%[1]s</h1><p><code>%[2]s</code>, status %[3]d</p><p>%[4]s</p></body></html>
`, html.EscapeString(look.title), html.EscapeString(string(code)), look.status, html.EscapeString(look.help)))
}
