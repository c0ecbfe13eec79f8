package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestATroubleWithAPeerIsSaidOnceInAWhileAndCountsWhatItHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := newRaftLogger(slog.New(slog.NewTextHandler(&out, nil)))
		refused := errors.New("connection refused")
		for range 40 { // ten seconds and a bit
			for _, peer := range []string{"n2", "n3"} {
				log.Error("failed to heartbeat to", "peer", peer, "error", refused)
			}
			time.Sleep(260 * time.Millisecond)
		}
		log.Named("net").Error("failed to decode incoming command", "error", fmt.Errorf("read: %w", net.ErrClosed))
		for what, want := range map[string]int{"peer=n2": 2, "peer=n3": 2, "held_back=38": 2, "decode": 0} {
			if got := strings.Count(out.String(), what); got != want {
				t.Errorf("%q is there %d times, want %d:\n%s", what, got, want, &out)
			}
		}
	})
}
