package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/scripts/bench/load"
	"github.com/holdfastdb/holdfast/scripts/harness"
)

// An answer is what a node said to a GET of the current session, for the floor to repeat.
type answer struct {
	Header http.Header
	Body   []byte
}

// plainAnswer stands in for a node's when there are no nodes: as many headers and bytes, made up.
func plainAnswer() answer {
	return answer{
		Header: http.Header{
			"Content-Type": {"application/json"}, "Etag": {`"1"`}, "Cache-Control": {"no-store"},
			"Holdfast-Index": {"0123456789abcdef.123456"}, "Holdfast-Node": {"n1"}, "Holdfast-Expires-In": {"3600"},
			"Holdfast-Request-Id": {"0123456789abcdef0123456789abcdef"}, "X-Content-Type-Options": {"nosniff"},
		},
		Body: []byte(`{"session":{"data":"` + strings.Repeat("x", 1000) + `"}}`),
	}
}

// serveFloor is the whole floor: net/http and one handler that writes the same answer again and again. It prints its
// address as its first line, and ends with ctx.
func serveFloor(ctx context.Context, file string, out io.Writer) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, listener.Addr())
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		for name, values := range a.Header {
			header[name] = values
		}
		_, _ = w.Write(a.Body) // a client that has gone needs no answer
	})}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// floor is the running floor.
type floor struct {
	addr   string
	tokens *load.Tokens
}

// startFloor starts this very program again as the floor that repeats the answer.
func (b *bench) startFloor(a answer) error {
	if b.floor != nil {
		return nil
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	file := filepath.Join(b.dir, "floor.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "-floor", file)
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, harness.DiesWithParent()
	stdout, err := os.CreateTemp(b.dir, "floor-*.addr")
	if err != nil {
		return err
	}
	defer stdout.Close()
	cmd.Stdout = stdout
	process, err := b.children.Run(cmd)
	if err != nil {
		return err
	}
	var addr string
	if err := harness.Poll(context.Background(), 10*time.Second, func() error {
		if process.Ended() {
			return harness.Permanent{Err: errors.New("the floor ended at once")}
		}
		read, err := os.Open(stdout.Name())
		if err != nil {
			return err
		}
		defer read.Close()
		addr, err = bufio.NewReader(read).ReadString('\n')
		return err
	}); err != nil {
		return fmt.Errorf("start the floor: %w", err)
	}
	b.floor = &floor{addr: strings.TrimSpace(addr), tokens: &load.Tokens{}}
	return b.floor.tokens.Add("hfs_00000000-0000-7000-8000-000000000000." + strings.Repeat("A", 43))
}

// measure drives the floor once.
func (f *floor) measure(ctx context.Context, clients int, length time.Duration) (load.Result, error) {
	result, err := load.Run(ctx, load.Options{
		Addrs: []string{f.addr}, Profile: load.Get, Clients: clients, Duration: length, WarmUp: length / 10, Tokens: f.tokens,
	})
	if err == nil && result.Errors > 0 {
		err = fmt.Errorf("the floor failed: %s", result.FirstError())
	}
	return result, err
}

// measureFloorAlone says what the client and a plain server reach on this machine.
func (b *bench) measureFloorAlone(ctx context.Context) error {
	if err := b.startFloor(plainAnswer()); err != nil {
		return err
	}
	for _, clients := range []int{64, 256} {
		before := processorTime()
		result, err := b.floor.measure(ctx, clients, b.cfg.cell)
		if err != nil {
			return err
		}
		spent := processorTime() - before
		// The warm-up of a tenth costs time too, but is not among the operations.
		perRequest := spent.Seconds() / (float64(result.Operations) * 1.1) * 1e6
		b.report.add(row{
			Name: floorRow, What: fmt.Sprintf("the floor alone, %d clients", clients), Figure: rate(result.OperationsPerSecond),
			Notes: []string{fmt.Sprintf("p50 %s, p99 %s; the client itself takes %.1f µs of processor time a request",
				micros(result.Latency.P50), micros(result.Latency.P99), perRequest)},
			Runs: []load.Result{result},
		})
	}
	return nil
}
