package gossip

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// heard is a log that tests read while it is written.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(b)
}

func (h *heard) count(parts ...string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
line:
	for line := range strings.Lines(h.text.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue line
			}
		}
		n++
	}
	return n
}

func TestANodeWithAnotherKeyIsNamedOnBothSidesOnce(t *testing.T) {
	var here, there heard
	logging := func(c Config, to *heard) Config {
		c.Logger = slog.New(slog.NewTextHandler(to, nil))
		return c
	}
	right := open(t, logging(config("n1"), &there))
	c := logging(config("n2", right.Addr()), &here)
	c.Keys = [][32]byte{key(9)}
	wrong := open(t, c)
	until(t, "both say so", func() bool {
		return here.count("level=WARN", "has another cluster key", "addr="+right.Addr()) == 1 &&
			there.count("level=WARN", "gossip refused", "from=127.0.0.1:", "another cluster key") == 1
	})
	for range 5 {
		if _, err := wrong.list.Join([]string{right.Addr()}); err == nil {
			t.Fatal("it was let in")
		}
	}
	if n := here.count("level=WARN") + there.count("level=WARN"); n > 4 {
		t.Errorf("%d warnings", n)
	}
}
