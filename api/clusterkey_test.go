package api

import (
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/session"
)

func TestTheStepsOfAKeyRotationAreForOperators(t *testing.T) {
	n := newNode(t, nil)
	key := strings.Repeat("5e", 32)
	for _, step := range []string{"install", "use", "remove"} {
		path := "/cluster/key/" + step
		n.do("POST", path, "").wantCode(401, "key_invalid")
		n.do("POST", path, "", bearer(n.service)).wantCode(403, "forbidden")
		n.do("POST", path+"/", "", bearer(n.operator)).want(200).wantMember("step", step)
		n.do("POST", path, "{}", bearer(n.operator)).want(200).wantMember("key", "7f52ebefae1bd2b8")
		n.do("POST", path, `{"kee":1}`, bearer(n.operator)).wantCode(400, "invalid_request")
		n.do("GET", path, "", bearer(n.operator)).wantCode(405, "method_not_allowed")
	}
	n.do("POST", "/cluster/key/install", `{"key":"`+key+`"}`, bearer(n.operator)).want(200)
	if n.cluster.key != key {
		t.Errorf("the key came as %q", n.cluster.key)
	}
	for _, body := range []string{`{"key":1}`, `{"key":"` + key + `","x":1}`, `{"key":"` + key} {
		if a := n.do("POST", "/cluster/key/install", body, bearer(n.operator)); a.status != 400 || strings.Contains(a.body, key) {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	n.do("POST", "/cluster/key/use", `{"key":"`+key+`"}`, bearer(n.operator)).wantCode(400, "invalid_request")
	n.do("POST", "/cluster/key/burn", "", bearer(n.operator)).wantCode(404, "not_found")
	if strings.Contains(n.log.String(), key) {
		t.Error("the key is in the log")
	}
	n.cluster.refuse = session.ErrChangeRefused.With("n3 does not answer")
	a := n.do("POST", "/cluster/key/use", "", bearer(n.operator)).wantCode(409, "change_refused")
	if !strings.Contains(a.body, "n3 does not answer") {
		t.Error(a.body)
	}
}
