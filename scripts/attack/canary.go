package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

// canaryRows look for every secret that this run has used, as text and as the bytes that it stands for.
func (a *attack) canaryRows(ctx context.Context) ([]row, error) {
	if err := harness.Pause(ctx, 500*time.Millisecond); err != nil { // what is being written down is there by then
		return nil, err
	}
	s, err := a.newSession(ctx) // so that there is one, whatever groups were chosen
	if err != nil {
		return nil, err
	}
	if _, err := mustAsk(ctx, http.StatusOK, request{node: a.nodes[0], method: "PATCH", path: currentPath, body: `{"mark":"` + s.id + `"}`, auth: s.auth()}); err != nil {
		return nil, err
	}
	hunt := newHunt(a.secrets.list())
	rows := []row{
		steps("the search itself: a secret that was planted", "found, as text and raw", func(context.Context) verdict { return hunt.selfTest(s.token) }),
		steps("log files of the nodes", "no secret", func(context.Context) verdict {
			total := 0
			for _, n := range a.everyone() {
				size, fault := hunt.file(n.logFile)
				if fault != "" {
					return wrong("%s", fault)
				}
				total += size
			}
			return right("none of %d in %d bytes", len(hunt.secrets), total)
		}),
		steps("keys.json", "no secret, only hashes", func(context.Context) verdict {
			size, fault := hunt.file(filepath.Join(a.dir, "keys.json"))
			return verdict{got: fmt.Sprintf("none of %d in %d bytes", len(hunt.secrets), size), wrong: fault}
		}),
	}
	for _, n := range a.everyone() {
		rows = append(rows,
			steps("every byte in the data directory of "+n.id, "no secret", func(context.Context) verdict { return hunt.dir(n.dir) }),
			steps("/metrics of "+n.id, "no secret", func(ctx context.Context) verdict {
				return a.huntAnswer(ctx, hunt, request{node: n, path: "/metrics"})
			}))
	}
	service, operator := "Bearer "+a.cluster.service, "Bearer "+a.cluster.operator
	return append(
		rows,
		steps("/api/events/, all pages", "no secret", func(ctx context.Context) verdict { return a.huntEvents(ctx, hunt) }),
		steps("/api/stats/", "no secret", func(ctx context.Context) verdict {
			return a.huntAnswer(ctx, hunt, request{node: a.nodes[0], path: "/api/stats/", auth: service})
		}),
		steps("/cluster/status", "no secret", func(ctx context.Context) verdict {
			return a.huntAnswer(ctx, hunt, request{node: a.nodes[0], path: "/cluster/status", auth: operator})
		}),
		steps("an archive of the cluster", "no secret", func(ctx context.Context) verdict {
			return a.huntArchive(ctx, hunt, s)
		}),
		steps("a read of a session", "no secret", func(ctx context.Context) verdict {
			return a.huntAnswer(ctx, hunt, strongRead(a.nodes[0], s.token))
		}),
	), nil
}

func (a *attack) huntAnswer(ctx context.Context, hunt *hunt, r request) verdict {
	got, err := mustAsk(ctx, http.StatusOK, r)
	if err != nil {
		return wrong("%v", err)
	}
	if what := hunt.find([]byte(got.body)); what != "" {
		return wrong("%s holds %s", r.path, what)
	}
	return right("none of %d in %d bytes", len(hunt.secrets), len(got.body))
}

// huntArchive looks through an archive as it is sent and as it unpacks, in which the session's id must be.
func (a *attack) huntArchive(ctx context.Context, hunt *hunt, s owned) verdict {
	got, err := mustAsk(ctx, http.StatusOK, request{node: a.nodes[0], path: snapshotPath, auth: "Bearer " + a.cluster.operator})
	if err != nil {
		return wrong("%v", err)
	}
	plain, err := unpacked([]byte(got.body))
	if err != nil {
		return wrong("%v", err)
	}
	if !bytes.Contains(plain, []byte(s.id)) { // its data repeats it
		return wrong("a session that lives is not in the archive")
	}
	for _, text := range [][]byte{[]byte(got.body), plain} {
		if what := hunt.find(text); what != "" {
			return wrong("it holds %s", what)
		}
	}
	return right("none of %d in %d bytes, unpacked %d", len(hunt.secrets), len(got.body), len(plain))
}

func (a *attack) huntEvents(ctx context.Context, hunt *hunt) verdict {
	path, size := "/api/events/?limit=1000", 0
	for {
		got, err := mustAsk(ctx, http.StatusOK, request{node: a.nodes[0], path: path, auth: "Bearer " + a.cluster.service})
		if err != nil {
			return wrong("%v", err)
		}
		if what := hunt.find([]byte(got.body)); what != "" {
			return wrong("an event holds %s", what)
		}
		size += len(got.body)
		next := got.text("next")
		if next == "" {
			return right("none of %d in %d bytes", len(hunt.secrets), size)
		}
		path = "/api/events/?limit=1000&after=" + next
	}
}

// A hunt looks for many secrets in one pass: a table of the first four bytes rules out nearly every place at once.
type hunt struct {
	secrets map[string]string   // the secret, and what it is
	begin   [1 << 16]bool       // whether a secret's first four bytes have this hash
	byHead  map[uint32][]string // secrets by their first four bytes
}

func newHunt(secrets map[string]string) *hunt {
	h := &hunt{secrets: secrets, byHead: make(map[uint32][]string)}
	for secret := range secrets {
		head := binary.LittleEndian.Uint32([]byte(secret))
		h.begin[headHash(head)] = true
		h.byHead[head] = append(h.byHead[head], secret)
	}
	return h
}

func headHash(head uint32) uint16 { return uint16(head * 2654435761 >> 16) } // Knuth's multiplicative hash

// find names the first secret in the bytes.
func (h *hunt) find(text []byte) string {
	for i := 0; i+4 <= len(text); i++ {
		head := binary.LittleEndian.Uint32(text[i:])
		if !h.begin[headHash(head)] {
			continue
		}
		for _, secret := range h.byHead[head] {
			if end := i + len(secret); end <= len(text) && string(text[i:end]) == secret {
				return fmt.Sprintf("%s, at byte %d", h.secrets[secret], i)
			}
		}
	}
	return ""
}

func (h *hunt) file(path string) (size int, fault string) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, err.Error()
	}
	if what := h.find(raw); what != "" {
		return len(raw), fmt.Sprintf("%s holds %s", path, what)
	}
	return len(raw), ""
}

// dir looks at every file; one that vanishes meanwhile was somebody's temporary.
func (h *hunt) dir(path string) verdict {
	files, total, fault := 0, 0, ""
	err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || fault != "" {
			return err
		}
		if _, err := os.Stat(path); err != nil {
			return nil
		}
		size, found := h.file(path)
		files, total, fault = files+1, total+size, found
		return nil
	})
	switch {
	case err != nil:
		return wrong("%v", err)
	case fault != "":
		return wrong("%s", fault)
	case files == 0 || total == 0:
		return wrong("there is nothing in %s", path)
	}
	return right("none of %d in %d files, %d bytes", len(h.secrets), files, total)
}

// selfTest wants a token's secret found among other bytes, in both forms.
func (h *hunt) selfTest(token string) verdict {
	secret := secretOf(token)
	raw, err := rawSecret(secret)
	if err != nil {
		return wrong("%v", err)
	}
	for form, planted := range map[string][]byte{"text": []byte(secret), "raw": raw} {
		around := append(append(randomBytes(5000), planted...), randomBytes(5000)...)
		if h.find(around) == "" {
			return wrong("the %s form is not found", form)
		}
		if around[5003] ^= 1; h.find(around) != "" {
			return wrong("another %s is found", form)
		}
	}
	return right("found, twice")
}
