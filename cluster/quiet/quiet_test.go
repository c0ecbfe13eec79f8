package quiet

import (
	"fmt"
	"testing"
	"time"
)

func TestAHostIsNewsOnceInAWhileAndNotTooManyAre(t *testing.T) {
	var l Log
	now := time.Unix(1<<30, 0)
	at := func(n int) string { return fmt.Sprintf("10.0.0.%d:%d", n, 1000+n) }
	for n := range Hosts {
		if !l.IsNews(at(n), now) {
			t.Fatalf("host %d is no news", n)
		}
	}
	if l.IsNews("10.0.0.0:1", now) || l.IsNews(at(Hosts), now) {
		t.Error("a host twice, or one host too many")
	}
	if !l.IsNews(at(Hosts), now.Add(For)) || len(l.heard) != 1 {
		t.Error("hosts are never forgotten")
	}
	if !l.IsNews("no address", now.Add(For)) || l.IsNews("no address", now.Add(For)) {
		t.Error("what is no address")
	}
}
