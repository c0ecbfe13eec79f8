package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestManyLoginsOfOneUserAtOnceNeverExceedTheLimit(t *testing.T) {
	const limit, logins = 5, 200
	for _, action := range []string{actionEvict, actionReject} {
		t.Run(action, func(t *testing.T) {
			c := startProcesses(t, 3, "--max-sessions-per-user", fmt.Sprint(limit), "--max-sessions-action", action)
			statuses := make([]int, logins)
			var all sync.WaitGroup
			for i := range logins {
				all.Go(func() {
					got, err := c.nodes[i%3].request("POST", "/api/sessions/create/", "Bearer "+c.service, `{"user_id":"alice"}`)
					if err != nil {
						t.Error(err)
					}
					statuses[i] = got.status
				})
			}
			// Meanwhile nobody ever sees more.
			for range 50 {
				got := c.nodes[0].ask("GET", "/api/sessions/?user_id=alice&limit=200", "Bearer "+c.service, "")
				if n := len(got.member(t, "sessions").([]any)); n > limit {
					t.Fatalf("%d sessions at once", n)
				}
			}
			all.Wait()
			got := c.nodes[1].ask("GET", "/api/sessions/?user_id=alice&limit=200", "Bearer "+c.service, "", "Holdfast-Consistency", "strong")
			if n := len(got.member(t, "sessions").([]any)); n != limit {
				t.Errorf("%d sessions are left, want %d", n, limit)
			}
			made := 0
			for _, status := range statuses {
				switch {
				case status == http.StatusCreated:
					made++
				case status != http.StatusConflict || action == actionEvict:
					t.Errorf("a login got %d", status)
				}
			}
			if action == actionReject && made != limit {
				t.Errorf("%d logins succeeded, want %d", made, limit)
			}
		})
	}
}

// Logins race with log out everywhere on other nodes. Each comes before it, and its session is dead, or after it, with a
// login JWT that is younger: never half.
func TestLoginsThatRaceWithLogOutEverywhereAreBeforeOrAfterIt(t *testing.T) {
	c := newTestCluster(t, 3, "--create-rate", "0")
	const user = "alice"
	type made struct {
		issued int64
		token  string
	}
	var mu sync.Mutex
	var sessions []made
	var all sync.WaitGroup
	stop := make(chan struct{})
	for i := range 6 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				now := time.Now()
				jwt, err := c.files.login(user, now)
				if err != nil {
					t.Error(err)
					return
				}
				got := c.nodes[i%3].ask("POST", "/api/sessions/create/", "Bearer "+jwt, "")
				switch got.status {
				case http.StatusCreated:
					mu.Lock()
					sessions = append(sessions, made{now.Unix(), got.member(t, "token").(string)})
					mu.Unlock()
				case http.StatusUnauthorized: // from before, in whole seconds
				default:
					t.Error(got)
					return
				}
			}
		})
	}
	// more waits until so many sessions have been made.
	more := func(n int) {
		t.Helper()
		count := func() int { mu.Lock(); defer mu.Unlock(); return len(sessions) }
		limit := time.Now().Add(patience)
		for n += count(); count() < n; pause(t.Context(), time.Millisecond) {
			if time.Now().After(limit) || t.Failed() {
				t.Fatalf("not within %s: %d sessions", patience, n)
			}
		}
	}
	var end sync.Once
	defer all.Wait()
	defer end.Do(func() { close(stop) })
	var index string
	var before int64 // no login that was issued so late can be refused
	for round := range 3 {
		more(20)
		got := c.nodes[round].ask("POST", "/api/sessions/invalidate-all/", "Bearer "+c.service, `{"user_id":"alice"}`)
		if got.status != http.StatusOK {
			t.Fatal(got)
		}
		index, before = got.index, time.Now().Unix()
	}
	more(20) // the seconds that the last one refuses pass
	end.Do(func() { close(stop) })
	all.Wait()
	alive := 0
	for i, s := range sessions {
		got := c.nodes[i%3].ask("GET", "/api/sessions/current/", "Session "+s.token, "", "Holdfast-Index", index)
		switch {
		case got.status == http.StatusOK && s.issued < before-1:
			t.Errorf("a session lives whose login was issued %d s before the last log out everywhere", before-s.issued)
		case got.status == http.StatusOK:
			alive++
		case s.issued > before:
			t.Errorf("a login that is younger than the last log out everywhere is dead: %v", got)
		}
	}
	if alive == 0 || alive == len(sessions) {
		t.Errorf("%d of %d sessions live: nothing was raced", alive, len(sessions))
	}
}

// streamEvents follows all events through one node, and gives the ids that it reads until the stream breaks.
func (n *processNode) streamEvents(after string, to func(id string)) error {
	request, err := http.NewRequest("GET", n.url+"/api/events/", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+n.cluster.service)
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Last-Event-ID", after)
	response, err := http.DefaultTransport.RoundTrip(request.WithContext(n.cluster.t.Context()))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	id := ""
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			id = text
		} else if strings.HasPrefix(lines.Text(), "data: ") { // the first id has none
			to(id)
		}
	}
	return lines.Err()
}

func TestAnEventStreamHasNoGapAndNoDoubleAcrossALeaderChange(t *testing.T) {
	c := startProcesses(t, 3)
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	var mu sync.Mutex
	var seen []string
	last := func() string {
		mu.Lock()
		defer mu.Unlock()
		if len(seen) == 0 {
			return "0-0"
		}
		return seen[len(seen)-1]
	}
	ended := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		// One stream that goes from node to node whenever it breaks.
		for i := 0; ; i++ {
			select {
			case <-ended:
				return
			default:
			}
			_ = c.nodes[i%3].streamEvents(last(), func(id string) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, id)
			})
			pause(t.Context(), 5*time.Millisecond)
		}
	})
	for range 2 {
		leader := c.leader()
		counters := c.count(c.others(leader), 2, func(progress func()) {
			progress()
			leader.kill()
			progress()
			leader.start()
		})
		for _, w := range counters {
			if len(w.failed) > 0 {
				t.Error(w.failed)
			}
		}
		leader.awaitReady()
	}
	c.converge()
	// What a list says at the end is what the stream must have said.
	var want []string
	for after := "0-0"; after != ""; {
		got := c.nodes[0].ask("GET", "/api/events/?limit=1000&consistency=strong&after="+after, "Bearer "+c.service, "")
		var page struct {
			Events []struct {
				ID string `json:"id"`
			} `json:"events"`
			Next string `json:"next"`
		}
		if err := json.Unmarshal([]byte(got.body), &page); err != nil || got.status != http.StatusOK {
			t.Fatal(got, err)
		}
		for _, e := range page.Events {
			want = append(want, e.ID)
		}
		after = page.Next
	}
	c.eventually("the stream has all events", func() bool { return last() == want[len(want)-1] })
	close(ended)
	for _, n := range c.nodes {
		n.kill() // which ends the stream
	}
	reader.Wait()
	if !slices.Equal(seen, want) {
		t.Errorf("the stream had %d events, the log has %d", len(seen), len(want))
	}
}
