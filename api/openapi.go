package api

import (
	_ "embed"
	"net/http"
)

// openAPIDocument is docs/openapi.yaml as JSON. A test keeps the two in step; `go test ./api -run OpenAPIDocument
// -update` writes it anew.
//
//go:embed openapi.json
var openAPIDocument []byte

// openAPI answers GET /openapi.json.
func (s *Server) openAPI(c *call) error { return c.answer(http.StatusOK, openAPIDocument) }
