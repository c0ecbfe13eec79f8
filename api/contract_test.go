package api

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "write api/openapi.json from docs/openapi.yaml")

// apiDocument is docs/openapi.yaml, which kin-openapi checks as OpenAPI 3.1, with its schemas as JSON Schema 2020-12.
var apiDocument = sync.OnceValue(func() routers.Router {
	loader := openapi3.NewLoader()
	document, err := loader.LoadFromFile("../docs/openapi.yaml")
	if err != nil {
		panic(err)
	}
	if err := document.Validate(context.Background()); err != nil {
		panic(err)
	}
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.FileBodyDecoder)
	return must(gorillamux.NewRouter(document))
})

// contract is a transport that holds every answer against the document.
type contract struct {
	t    *testing.T
	next http.RoundTripper
}

func (c *contract) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if fault := checkAnswer(request, response, body); fault != nil {
		c.t.Errorf("%s %s answered %d against the contract: %v\n%s", request.Method, request.URL.Path, response.StatusCode, fault, body)
	}
	return response, nil
}

// answered holds the documented answers that the tests have seen, as documented names them.
var answered sync.Map

// documented names the answer of the document that a status is.
func documented(operation *openapi3.Operation, status int) string {
	if operation.Responses.Status(status) != nil {
		return operation.OperationID + " " + strconv.Itoa(status)
	}
	return operation.OperationID + " default"
}

// everyAnswer is a run of all tests, which must have seen every answer that the document describes.
type everyAnswer struct{ *testing.M }

func (m everyAnswer) Run() int {
	code := m.M.Run()
	for _, name := range []string{"test.run", "test.skip", "test.fuzz", "test.bench", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			return code
		}
	}
	document := must(openapi3.NewLoader().LoadFromFile("../docs/openapi.yaml"))
	for _, item := range document.Paths.Map() {
		for _, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				if _, ok := answered.Load(operation.OperationID + " " + status); !ok {
					fmt.Fprintf(os.Stderr, "no test has seen the answer %q of %s\n", status, operation.OperationID)
					code = 1
				}
			}
		}
	}
	return code
}

func checkAnswer(request *http.Request, response *http.Response, body []byte) error {
	asked := request.Clone(request.Context())
	asked.URL = &url.URL{Scheme: "http", Host: "any", Path: strings.TrimSuffix(request.URL.Path, "/") + "/", RawQuery: request.URL.RawQuery}
	options := &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true}
	if asked.Method == http.MethodHead {
		asked.Method = http.MethodGet
		options.ExcludeResponseBody = true
	}
	route, params, err := apiDocument().FindRoute(asked)
	for _, path := range []string{asked.URL.Path, "/livez/"} { // no such method or path: any other's problem
		if err == nil {
			break
		}
		if response.StatusCode < 400 {
			return fmt.Errorf("a success that is not described: %w", err)
		}
		asked.Method, asked.URL.Path = http.MethodGet, path
		route, params, err = apiDocument().FindRoute(asked)
	}
	if err != nil {
		return err
	}
	answered.Store(documented(route.Operation, response.StatusCode), true)
	return openapi3filter.ValidateResponse(request.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: asked, Route: route, PathParams: params},
		Status:                 response.StatusCode, Header: response.Header, Options: options,
		Body: io.NopCloser(bytes.NewReader(body)),
	})
}

func TestTheContractNoticesAWrongAnswer(t *testing.T) {
	request := must(http.NewRequest("GET", "http://any/api/sessions/current", nil))
	header := http.Header{
		"Content-Type": {"application/json"}, "Etag": {`"1"`}, "Holdfast-Expires-In": {"5"}, "Holdfast-Node": {"n1"},
		"Holdfast-Index": {"1122334455667788.1"}, "Holdfast-Request-Id": {strings.Repeat("0", 24)},
	}
	n := newMemory()
	s := &Server{devices: must(newDeviceNames())}
	x := must(n.create(createFor("u1"), nil)).Session
	good := append(s.appendSession([]byte(`{"session":`), &x, n.now, true), '}')
	check := func(header http.Header, body []byte) error {
		return checkAnswer(request, &http.Response{StatusCode: 200, Header: header}, body)
	}
	if err := check(header, good); err != nil {
		t.Fatalf("a good answer: %v", err)
	}
	for name, change := range map[string]func(h http.Header) []byte{
		"a member is missing": func(http.Header) []byte { return bytes.Replace(good, []byte(`"version":1,`), nil, 1) },
		"a member is added": func(http.Header) []byte {
			return bytes.Replace(good, []byte(`"version":1,`), []byte(`"version":1,"x":1,`), 1)
		},
		"a member is of another type": func(http.Header) []byte {
			return bytes.Replace(good, []byte(`"version":1,`), []byte(`"version":"1",`), 1)
		},
		"a time has no milliseconds": func(http.Header) []byte { return bytes.Replace(good, []byte(`12:00:00.000Z`), []byte(`12:00:00Z`), 1) },
		"the ETag is missing":        func(h http.Header) []byte { delete(h, "Etag"); return good },
		"the ETag is weak":           func(h http.Header) []byte { h.Set("Etag", `W/"1"`); return good },
		"the index is missing":       func(h http.Header) []byte { delete(h, "Holdfast-Index"); return good },
	} {
		changed := header.Clone()
		body := change(changed)
		if err := check(changed, body); err == nil {
			t.Errorf("%s: is not noticed", name)
		}
	}
}

func TestTheContractNoticesAWrongProblem(t *testing.T) {
	header := http.Header{
		"Content-Type": {"application/problem+json"}, "Holdfast-Node": {"n1"}, "Holdfast-Index": {"1122334455667788.1"},
		"Holdfast-Request-Id": {strings.Repeat("0", 24)}, "Retry-After": {"1"},
	}
	good := string(appendProblem(nil, "not_leader", "Title", 429, "Detail.", "id", nil))
	leader := strings.Replace(good, "}", `,"leader":false}`, 1)
	for _, c := range []struct {
		name, path, body string
		ok               bool
	}{
		{"a good one", "/livez", good, true},
		{"a member is missing", "/livez", strings.Replace(good, `"status":429,`, "", 1), false},
		{"a member is added", "/livez", leader, false},
		{"a status of success", "/livez", strings.Replace(good, "429", "200", 1), false},
		{"the other node of leaderz", "/leaderz", leader, true},
		{"the other node of leaderz does not say so", "/leaderz", good, false},
		{"a check of readyz", "/readyz", strings.Replace(good, "}", `,"checks":[{"name":"a","ok":false}]}`, 1), true},
		{"a check of readyz without its name", "/readyz", strings.Replace(good, "}", `,"checks":[{"ok":false}]}`, 1), false},
	} {
		request := must(http.NewRequest("GET", "http://any"+c.path, nil))
		err := checkAnswer(request, &http.Response{StatusCode: 429, Header: header}, []byte(c.body))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestOpenAPIDocumentIsInStep(t *testing.T) {
	raw := must(os.ReadFile("../docs/openapi.yaml"))
	var document any
	if err := yaml.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	want := append(must(json.Marshal(document)), '\n')
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(openAPIDocument)); diff != "" {
		t.Errorf("api/openapi.json is not docs/openapi.yaml: run go generate ./api\n%s", diff[:min(len(diff), 2000)])
	}
}

func TestEveryRouteIsInTheContractAndNoOther(t *testing.T) {
	document := must(openapi3.NewLoader().LoadFromFile("../docs/openapi.yaml"))
	described := make(map[string]bool)
	for path, item := range document.Paths.Map() {
		for method := range item.Operations() {
			described[method+" "+path] = true
		}
	}
	for _, rt := range routeTable() {
		path := rt.path
		for _, param := range []string{"id", "code", "step"} {
			path = strings.Replace(path, ":"+param, "{"+param+"}", 1)
		}
		if !described[rt.method+" "+path] {
			t.Errorf("%s %s is not in docs/openapi.yaml", rt.method, path)
		}
		delete(described, rt.method+" "+path)
	}
	for left := range described {
		t.Errorf("docs/openapi.yaml describes %s, which no route takes", left)
	}
}

func TestEveryCodeOfTheContractHasItsFailure(t *testing.T) {
	text := string(must(os.ReadFile("../docs/openapi.yaml")))
	for code, look := range failures {
		if look.title == "" || look.help == "" || http.StatusText(look.status) == "" {
			t.Errorf("%s: %+v", code, look)
		}
		if (look.status == 401) != (look.challenge != "") {
			t.Errorf("%s: a 401 needs a challenge, and nothing else does", code)
		}
		if !strings.Contains(text, "`"+string(code)+"`") {
			t.Errorf("%s is not in docs/openapi.yaml", code)
		}
	}
}
