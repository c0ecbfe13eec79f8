//go:build unix

package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// roleVariable makes this test's binary play the programs that bench starts: the floor, and holdfast.
const roleVariable = "HOLDFAST_BENCH_TEST_ROLE"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(roleVariable) == "":
		os.Exit(m.Run())
	case len(os.Args) > 1 && os.Args[1] == "-floor":
		os.Exit(run())
	default:
		os.Exit(fakeHoldfast(os.Args[1:]))
	}
}

// fakeHoldfast speaks as much of holdfast's command line as bench uses. Its nodes know every session, keep none, and let
// the first of them that gets a file's lock be the leader, which it stays until it dies.
func fakeHoldfast(args []string) int {
	switch {
	case strings.HasPrefix(strings.Join(args, " "), "cluster-key create --out "):
		return 0
	case strings.HasPrefix(strings.Join(args, " "), "keys create --keys-file "):
		fmt.Println("the key of bench, shown once: hfk_fake")
		return 0
	case len(args) > 2 && args[0] == "snapshot":
		return fakeSnapshot(args[1], args[2])
	case len(args) == 0 || args[0] != "server":
		fmt.Fprintln(os.Stderr, "unknown verb")
		return 2
	}
	return fakeServer(args[1:])
}

// What the test of all rows saves: first a small store, then a big one.
const fakeFew, fakeMany = 50, 300

// fakeSnapshot tells the two by whether there is an archive already.
func fakeSnapshot(verb, path string) int {
	sessions := fakeFew
	if _, err := os.Stat(path); err == nil {
		sessions = fakeMany
	}
	if verb == "restore" {
		fmt.Printf(`{"restored":%d,"took_ms":1500}`, sessions)
		return 0
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Printf(`{"sessions":%d,"bytes":1000,"raw_bytes":3000}`, sessions)
	return 0
}

func fakeServer(args []string) int {
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	id, dir, addr := flags.String("node-id", "", ""), flags.String("data-dir", "", ""), flags.String("http-addr", "", "")
	for _, name := range []string{"cluster-addr", "gossip-addr", "join", "bootstrap-expect", "cluster-key-file", "keys-file"} {
		flags.String(name, "", "")
	}
	if err := flags.Parse(args); err != nil {
		return 2
	}
	lock, err := os.Create(filepath.Join(filepath.Dir(*dir), "leader"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var leads atomic.Bool
	go func() {
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX) == nil {
			leads.Store(true)
		}
	}()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	server := &http.Server{Addr: *addr, Handler: fakeNode(*id, filepath.Join(filepath.Dir(*dir), "expiries"), &leads)}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	return 1
}

func fakeNode(id, expiries string, leads *atomic.Bool) http.Handler {
	var numbers atomic.Uint64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /leaderz", func(w http.ResponseWriter, _ *http.Request) {
		if !leads.Load() {
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "# TYPE go_memstats_heap_inuse_bytes gauge\ngo_memstats_heap_inuse_bytes 1.048576e+08\n")
	})
	mux.HandleFunc("GET /cluster/snapshot", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "archive") })
	mux.HandleFunc("GET /cluster/status", func(w http.ResponseWriter, _ *http.Request) {
		// A fourth node has its vote once it was started: there is its log then.
		_, err := os.Stat(filepath.Join(filepath.Dir(expiries), "n4.log"))
		fmt.Fprintf(w, `{"feature_level":2,"members":[{"id":"n4","voter":%[1]t,"healthy":%[1]t}]}`, err == nil)
	})
	mux.HandleFunc("GET /api/stats/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"sessions":1,"expired":%d}`, expired(expiries))
	})
	mux.HandleFunc("POST /api/sessions/create/", func(w http.ResponseWriter, r *http.Request) {
		noteExpiry(expiries, r)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token":"hfs_%08d-0000-7000-8000-0000000000%s.%043d"}`, numbers.Add(1), id, 0)
	})
	session := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Holdfast-Node", id)
		fmt.Fprint(w, `{"session":{"version":1}}`)
	}
	mux.HandleFunc("GET /api/sessions/current/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Holdfast-Session") != "" { // only bad tokens come this way
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		session(w, r)
	})
	mux.HandleFunc("DELETE /api/sessions/current/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("PATCH /api/sessions/current/", session)
	return mux
}

// noteExpiry keeps when a session with an absolute timeout expires: 8 bytes in a file that the fake nodes share.
func noteExpiry(file string, r *http.Request) {
	var body struct {
		Absolute string `json:"absolute_timeout"`
	}
	if json.NewDecoder(r.Body).Decode(&body) != nil || body.Absolute == "" {
		return
	}
	timeout, err := time.ParseDuration(body.Absolute)
	if err != nil {
		return
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	f.Write(binary.LittleEndian.AppendUint64(nil, uint64(time.Now().Add(timeout).UnixMilli())))
}

func expired(file string) (n int) {
	raw, _ := os.ReadFile(file)
	for ; len(raw) >= 8; raw = raw[8:] {
		if binary.LittleEndian.Uint64(raw) <= uint64(time.Now().UnixMilli()) {
			n++
		}
	}
	return n
}
