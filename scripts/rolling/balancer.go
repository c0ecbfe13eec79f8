package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/scripts/harness"
)

// The addresses in the files of deploy/lb: those of `holdfast dev`.
var fileNodes = [3]string{"127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"}

// A kind of balancer makes the command that runs it on addr in front of the nodes.
type launch func(program, file, dir, addr string, nodes []string) (*exec.Cmd, error)

var launches = map[string]launch{"haproxy": haproxy, "nginx": nginx, "caddy": caddy}

func balancerNames() []string { return []string{"haproxy", "nginx", "caddy"} }

// place is where a node is.
type place struct{ id, addr string }

func places(nodes []*harness.Node) []place {
	var all []place
	for _, n := range nodes {
		all = append(all, place{n.ID, n.HTTPAddr})
	}
	return all
}

// balancer is a load balancer that runs.
type balancer struct {
	addr    string
	version string
	process *harness.Child
}

var fileNames = map[string]string{"haproxy": "haproxy.cfg", "nginx": "nginx.conf", "caddy": "Caddyfile"}

// startBalancer runs the balancer with the project's own configuration and waits until it has sent requests to each node.
func startBalancer(ctx context.Context, children *harness.Children, cfg config, dir string, nodes []place) (*balancer, error) {
	program, err := harness.Program(cfg.balancer)
	if err != nil {
		return nil, err
	}
	own, err := harness.FreeAddrs(1)
	if err != nil {
		return nil, err
	}
	file, err := filepath.Abs(filepath.Join(cfg.configDir, fileNames[cfg.balancer]))
	if err != nil {
		return nil, err
	}
	var addrs []string
	for _, n := range nodes {
		addrs = append(addrs, n.addr)
	}
	cmd, err := launches[cfg.balancer](program, file, dir, own[0], addrs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.balancer, err)
	}
	log, err := os.Create(filepath.Join(dir, cfg.balancer+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own descriptor
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, harness.DiesWithParent()
	b := &balancer{addr: own[0], version: versionOf(ctx, program)}
	if b.process, err = children.Run(cmd); err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if err := b.awaitUse(ctx, n.id); err != nil {
			said, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("%s: %w\nit said:\n%.2000s", cfg.balancer, err, said)
		}
	}
	return b, nil
}

// haproxy takes its addresses from the environment: the file is used as it stands.
func haproxy(program, file, _, addr string, nodes []string) (*exec.Cmd, error) {
	stats, err := harness.FreeAddrs(1)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "-db", "-f", file)
	cmd.Env = append(os.Environ(), "HOLDFAST_BIND="+addr, "HOLDFAST_STATS="+stats[0])
	for i, node := range nodes {
		cmd.Env = append(cmd.Env, fmt.Sprintf("HOLDFAST_N%d=%s", i+1, node))
	}
	return cmd, nil
}

// caddy takes its addresses from the environment too.
func caddy(program, file, dir, addr string, nodes []string) (*exec.Cmd, error) {
	cmd := exec.Command(program, "run", "--adapter", "caddyfile", "--config", file)
	cmd.Env = append(os.Environ(), "HOLDFAST_BIND=http://"+addr, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "HOME="+dir)
	for i, node := range nodes {
		cmd.Env = append(cmd.Env, fmt.Sprintf("HOLDFAST_N%d=%s", i+1, node))
	}
	return cmd, nil
}

// nginx includes a copy of the file in which the addresses are replaced, as it reads no environment. One process, without
// a master, ends with this program in any case.
func nginx(program, file, dir, addr string, nodes []string) (*exec.Cmd, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text := string(raw)
	replace := func(from, to string) {
		if strings.Count(text, from) != 1 {
			err = errors.Join(err, fmt.Errorf("%s: %q stands there %d times, want once", file, from, strings.Count(text, from)))
		}
		text = strings.Replace(text, from, to, 1)
	}
	replace("listen 8000;", "listen "+addr+";")
	for i, node := range nodes {
		replace("server "+fileNodes[i]+" ", "server "+node+" ")
	}
	if err != nil {
		return nil, err
	}
	main := strings.ReplaceAll(`daemon off; master_process off; pid DIR/nginx.pid; error_log stderr warn;
events { worker_connections 4096; }
http {
    client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
    include DIR/holdfast.conf;
}
`, "DIR", dir)
	if err := os.WriteFile(filepath.Join(dir, "holdfast.conf"), []byte(text), 0o600); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, []byte(main), 0o600); err != nil {
		return nil, err
	}
	return exec.Command(program, "-p", dir, "-c", config, "-e", "stderr"), nil
}

// awaitUse waits until the balancer sends requests to a node.
func (b *balancer) awaitUse(ctx context.Context, node string) error {
	return harness.Poll(ctx, 30*time.Second, func() error {
		if b.process.Ended() {
			return harness.Permanent{Err: fmt.Errorf("the balancer ended: %v", b.process.State())}
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.addr+"/livez", nil)
		if err != nil {
			return err
		}
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if who := response.Header.Get("Holdfast-Node"); who != node {
			return fmt.Errorf("no request reaches %s", node)
		}
		return nil
	})
}

// versionOf is the first line of what the program says about itself; it is only printed.
func versionOf(ctx context.Context, program string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	flag := "-v"
	if filepath.Base(program) == "caddy" {
		flag = "version"
	}
	out, _ := exec.CommandContext(ctx, program, flag).CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
