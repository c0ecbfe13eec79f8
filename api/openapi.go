package api

import (
	_ "embed"
	"net/http"
)

//go:generate go test . -run OpenAPIDocument -update

// openAPIDocument is docs/openapi.yaml as JSON. A test keeps the two in step; `go generate ./api` writes it anew.
//
//go:embed openapi.json
var openAPIDocument []byte

// openAPI answers GET /openapi.json.
func (s *Server) openAPI(c *call) error { return c.answer(http.StatusOK, openAPIDocument) }
